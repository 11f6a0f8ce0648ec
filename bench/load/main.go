// Load scrapes an exporter as many Prometheus replicas would, checks every body
// and reports wrong replies by kind. It exits with 1 if there was any.
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
	out    string // directory
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
	f.StringVar(&o.config.Address, "address", "127.0.0.1:9900", "address of the exporter, HOST:PORT")
	f.StringVar(
		&paths,
		"paths",
		"",
		"paths of the scripts, separated by commas; empty: those of bench/serve, see -scripts",
	)
	f.IntVar(&scripts, "scripts", 1, "number of scripts of bench/serve to scrape")
	f.IntVar(
		&o.config.Replicas,
		"replicas",
		2,
		"number of replicas that scrape every script; with -closed: number of connections",
	)
	f.DurationVar(&o.config.Duration, "duration", 10*time.Second, "duration of the run")
	f.DurationVar(&o.config.Interval, "interval", time.Second, "time between two scrapes of one script by one replica")
	f.Float64Var(
		&o.config.Spread,
		"spread",
		0,
		"largest difference of a replica's own interval from -interval, as a part of it",
	)
	f.Float64Var(
		&o.config.Jitter,
		"jitter",
		0,
		"largest time by which a scrape is early or late, as a part of the interval",
	)
	f.DurationVar(&o.config.Timeout, "timeout", 10*time.Second, "scrape timeout in the requests; 0: none")
	f.Float64Var(&o.config.Fresh, "fresh", 0, "part of the replicas that open a connection for each scrape")
	f.StringVar(
		&accepts,
		"accepts",
		"prometheus",
		"kinds of Accept headers, assigned to the replicas in order: "+strings.Join(
			slices.Sorted(maps.Keys(scrape.Accepts)),
			", ",
		),
	)
	f.StringVar(&ca, "ca", "", "use TLS, and trust the certificates in this file")
	f.StringVar(
		&checks,
		"checks",
		"fresh",
		"checks beside valid text: \"fresh\" (of bench/serve, read after the request, never of an earlier read), "+
			"\"stamped\" (of bench/serve, made beforehand), \"counters\" (no sample ever falls), \"any\" (none)",
	)
	f.BoolVar(&o.closed, "closed", false, "closed loop: as many scrapes as the server can answer")
	f.StringVar(&o.out, "out", "", "write NAME.json and the plot NAME.svg to this directory")
	f.StringVar(&o.name, "name", "load", "name of these files")
	if err := f.Parse(args); err != nil {
		return o, flag.ErrHelp
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("unexpected arguments %q", f.Args())
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
		return o, fmt.Errorf("-checks=%q: must be fresh, stamped, counters or any", checks)
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
		Title: o.name + ": replies within a time",
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
