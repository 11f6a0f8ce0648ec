// Serve runs one of the servers that the benchmarks compare:
// serve KIND -size 3072 …
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"stap-exporter/bench/server"
)

// options are the command line.
type options struct {
	kind    string
	listen  string
	server  server.Options
	profile profiles
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(stderr, "serve:", err)
		}
		return 2
	}
	if err := serve(o, stdout); err != nil {
		fmt.Fprintln(stderr, "serve:", err)
		return 1
	}
	return 0
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	f := flag.NewFlagSet("serve", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprintln(stderr, "usage: serve KIND [flags], with KIND one of", strings.Join(server.Kinds(), ", "))
		f.PrintDefaults()
	}
	f.StringVar(&o.listen, "listen", "127.0.0.1:0", "address to listen on")
	f.IntVar(&o.server.Size, "size", 3<<10, "size of a text in bytes, at most 65,000")
	f.DurationVar(&o.server.Cost, "cost", 0, "duration of one read of the source")
	f.BoolVar(&o.server.Spin, "spin", false, "the cost is CPU time, not waiting")
	f.BoolVar(
		&o.server.Constant,
		"constant",
		false,
		"product: every read returns the same page, so no text is made or sanitized",
	)
	f.IntVar(&o.server.Scripts, "scripts", 1, "number of scripts")
	f.BoolVar(
		&o.server.OnDemand,
		"on-demand",
		false,
		"product: a request starts a script, not the server's start",
	)
	f.BoolVar(&o.server.TLS, "tls", false, "product: TLS, with a certificate made for this run")
	f.StringVar(
		&o.server.TextFile,
		"text",
		"",
		"bare: serve the content of this file instead of a stand-in script's text",
	)
	f.StringVar(&o.profile.cpu, "cpuprofile", "", "write a CPU profile of the whole run to this file")
	f.StringVar(&o.profile.mutex, "mutexprofile", "", "write a profile of mutex contention to this file at the end")
	f.StringVar(&o.profile.block, "blockprofile", "", "write a profile of blocking to this file at the end")
	f.StringVar(&o.profile.allocs, "memprofile", "", "write a profile of all allocations to this file at the end")
	if len(args) == 0 || !slices.Contains(server.Kinds(), args[0]) {
		f.Usage()
		return o, flag.ErrHelp
	}
	o.kind = args[0]
	if err := f.Parse(args[1:]); err != nil {
		return o, flag.ErrHelp
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected arguments %q", f.Args())
	}
	return o, nil
}

// ready is the line on stdout once the server listens.
type ready struct {
	Address string
	Took    time.Duration // since the start of main
	CA      string        `json:",omitempty"` // with -tls: file of the certificate to trust
}

func serve(o options, stdout io.Writer) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50) // as the exporter does
	}
	began := time.Now()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	ln, err := net.Listen("tcp", o.listen)
	if err != nil {
		return err
	}
	s, err := server.New(o.kind, o.server)
	if err != nil {
		return err
	}
	defer s.Close()
	stop, err := o.profile.start()
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ln) }()
	if err := json.NewEncoder(stdout).Encode(ready{ln.Addr().String(), time.Since(began), s.CA()}); err != nil {
		return err
	}
	select {
	case <-signals:
	case err = <-ended:
	}
	return errors.Join(err, stop())
}
