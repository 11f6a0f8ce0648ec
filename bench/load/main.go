// Load scrapes an exporter as many Prometheus replicas would, checks every body
// and tells what was wrong, by kind. It exits with 1 when something was.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"stap-exporter/bench/report"
	"stap-exporter/bench/scrape"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

type options struct {
	config scrape.Config
	closed bool
	out    string // folder
	name   string
}

// outcome is the JSON file.
type outcome struct {
	About  report.About
	Result scrape.Result
}

func run(args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(stderr, "load:", err)
		}
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	about := report.Here()
	loop := scrape.Open
	if o.closed {
		loop = scrape.Closed
	}
	result, err := loop(ctx, o.config)
	if err == nil && o.out != "" {
		err = write(o, outcome{about, result})
	}
	if err != nil {
		fmt.Fprintln(stderr, "load:", err)
		return 1
	}
	printResult(stdout, result)
	if result.Wrong > 0 || result.Replies == 0 {
		return 1
	}
	return 0
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	var paths, accepts, ca, checks string
	var scripts int
	f := flag.NewFlagSet("load", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.config.Address, "address", "127.0.0.1:9900", "of the exporter")
	f.StringVar(
		&paths,
		"paths",
		"",
		"paths of the scripts, separated by commas; empty: those of bench/serve, see -scripts",
	)
	f.IntVar(&scripts, "scripts", 1, "how many scripts of bench/serve to scrape")
	f.IntVar(
		&o.config.Replicas,
		"replicas",
		2,
		"how many replicas scrape every script; with -closed: how many connections",
	)
	f.DurationVar(&o.config.Duration, "duration", 10*time.Second, "how long")
	f.DurationVar(&o.config.Interval, "interval", time.Second, "between two scrapes of one script by one replica")
	f.Float64Var(&o.config.Spread, "spread", 0, "a replica's own interval differs from -interval by up to this part")
	f.Float64Var(&o.config.Jitter, "jitter", 0, "each scrape is up to this part of the interval early or late")
	f.DurationVar(&o.config.Timeout, "timeout", 10*time.Second, "the scrape timeout that requests name; 0: none")
	f.Float64Var(&o.config.Fresh, "fresh", 0, "this part of the replicas makes a connection for each scrape")
	f.StringVar(
		&accepts,
		"accepts",
		"prometheus",
		"how replicas ask, dealt in turn: "+strings.Join(slices.Sorted(maps.Keys(scrape.Accepts)), ", "),
	)
	f.StringVar(&ca, "ca", "", "speak TLS, and trust the certificates in this file")
	f.StringVar(
		&checks,
		"checks",
		"fresh",
		"what bodies are, beside whole and valid: \"fresh\" (of bench/serve: read after the request, never backwards), \"stamped\" (of bench/serve, made beforehand), \"counters\" (no sample ever falls), \"any\"",
	)
	f.BoolVar(&o.closed, "closed", false, "closed loop: as many scrapes as the server takes")
	f.StringVar(&o.out, "out", "", "write NAME.json and the plot NAME.svg into this folder")
	f.StringVar(&o.name, "name", "load", "their name")
	if err := f.Parse(args); err != nil {
		return o, flag.ErrHelp
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("unexpected %q", f.Args())
	case paths != "":
		o.config.Paths = strings.Split(paths, ",")
	default:
		for i := range scripts {
			o.config.Paths = append(o.config.Paths, fmt.Sprintf("/bench%d.stp", i))
		}
	}
	o.config.Accepts = strings.Split(accepts, ",")
	switch checks {
	case "fresh":
		o.config.Checks = scrape.Checks{Stamped: true, Fresh: true}
	case "stamped":
		o.config.Checks = scrape.Checks{Stamped: true}
	case "counters":
		o.config.Checks = scrape.Checks{Counters: true}
	case "any":
	default:
		return o, fmt.Errorf("-checks %q: not one of fresh, stamped, counters, any", checks)
	}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return o, err
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return o, fmt.Errorf("no certificate in %q", ca)
		}
		o.config.TLS = &tls.Config{RootCAs: roots, ServerName: "localhost"}
	}
	return o, nil
}

func write(o options, all outcome) error {
	if err := report.Write(o.out, o.name, all); err != nil {
		return err
	}
	line := func(name string, d scrape.Distribution) report.Line {
		l := report.Line{Name: name}
		for _, p := range d.Points {
			l.X, l.Y = append(l.X, p.Value), append(l.Y, p.Part)
		}
		return l
	}
	p := report.Plot{
		Title: o.name + ": replies that were there in time",
		X:     "milliseconds",
		Y:     "part of all replies",
		LogX:  true,
	}
	p.Lines = append(p.Lines, line("latency", all.Result.Latency))
	if all.Result.Age.Count > 0 {
		p.Lines = append(p.Lines, line("age of the data", all.Result.Age))
	}
	return p.Draw(o.out, o.name)
}

func printResult(w io.Writer, r scrape.Result) {
	fmt.Fprintf(w, "%d replies in %.1f s, %.0f a second, %d wrong\n", r.Replies, r.Seconds, r.Rate, r.Wrong)
	for _, kind := range slices.Sorted(maps.Keys(r.Kinds)) {
		fmt.Fprintf(w, "  %s: %d, for example %s\n", kind, r.Kinds[kind], r.Examples[kind])
	}
	for _, d := range []struct {
		name string
		scrape.Distribution
	}{{"latency", r.Latency}, {"age of data", r.Age}, {"sent late", r.Behind}} {
		if d.Count > 0 {
			fmt.Fprintf(
				w,
				"%-12s p50 %.3f ms, p90 %.3f, p99 %.3f, p99.9 %.3f, most %.3f\n",
				d.name,
				d.P50,
				d.P90,
				d.P99,
				d.P999,
				d.Max,
			)
		}
	}
}
