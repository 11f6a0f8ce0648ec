package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"stap-exporter/bench/report"
)

// bench is one run of the program.
type bench struct {
	serve          string // the program bench/serve
	standin        string // the program bench/standin
	exporter       string // the exporter
	before         string // an older exporter, for the part compare
	scripts        string // directory of the exporter's scripts
	python         string // the Python exporter; empty: not compared
	profile        string // prefix of the names of profiles; empty: none
	out            string // directory of the results
	scratch        string // directory of this run, removed at its end
	rounds         int
	slice          time.Duration // time of one server in one round
	maxConnections int
	manyScripts    int // in the parts crowd, start, growth and compare
	parts          []string
	stdout         io.Writer
	about          report.About
	rows           []row
}

// parts are the parts in the order in which they run.
var parts = []struct {
	name string
	run  func(*bench, context.Context) error
}{
	{"saturate", (*bench).saturate},
	{"real", (*bench).real},
	{"quiet", (*bench).quiet},
	{"crowd", (*bench).crowd},
	{"idle", (*bench).idle},
	{"start", (*bench).startTimes},
	{"growth", (*bench).growth},
	{"profile", (*bench).profileServers},
	{comparePart, (*bench).compare},
}

// partNames returns the names of all parts.
func partNames() []string {
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	return names
}

func newBench(args []string, stdout, stderr io.Writer) (b *bench, err error) {
	b = &bench{stdout: stdout, about: report.Here()}
	f := flag.NewFlagSet("run", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprintf(stderr, "usage: run [flags] PART…, with PART one of %s\n", strings.Join(partNames(), ", "))
		fmt.Fprintf(stderr, "Without a PART all run; %s only if -before is given.\n", comparePart)
		f.PrintDefaults()
	}
	f.StringVar(&b.serve, "serve", "bin/bench/serve", "the program bench/serve")
	f.StringVar(&b.standin, "standin", "bin/bench/standin", "the program bench/standin")
	f.StringVar(&b.exporter, "exporter", "bin/stap-exporter", "the exporter")
	f.StringVar(&b.before, "before", "", "an older exporter to compare with, for the part "+comparePart)
	f.StringVar(&b.scripts, "scripts", "scripts", "directory of the exporter's scripts")
	f.StringVar(&b.python, "python", os.Getenv("PYTHON_EXPORTER"),
		"the Python exporter to compare with; empty: not compared (PYTHON_EXPORTER)")
	f.StringVar(&b.profile, "profile", "", "write profiles of the servers to files with this prefix")
	f.StringVar(&b.out, "out", "bench/results", "directory for the results")
	f.IntVar(&b.rounds, "rounds", 5, "number of rounds")
	f.DurationVar(&b.slice, "slice", 2*time.Second, "time of one server in one round, in whole seconds")
	f.IntVar(&b.maxConnections, "connections", 10_000,
		"largest number of connections; each needs a descriptor here and one in the server")
	f.IntVar(&b.manyScripts, "many", 1000, "number of scripts in the parts with many scripts")
	if err := f.Parse(args); err != nil {
		return nil, flag.ErrHelp
	}
	if b.python != "" {
		if b.python, err = filepath.Abs(b.python); err != nil {
			return nil, err
		}
	}
	if b.parts = f.Args(); len(b.parts) == 0 {
		b.parts = partNames()
		if b.before == "" {
			b.parts = b.parts[:len(b.parts)-1] // without compare
		}
	}
	for _, name := range b.parts {
		if !slices.Contains(partNames(), name) {
			return nil, fmt.Errorf("no part %q, only %s", name, strings.Join(partNames(), ", "))
		}
	}
	if slices.Contains(b.parts, comparePart) && b.before == "" {
		return nil, fmt.Errorf("%s needs -before, an older exporter", comparePart)
	}
	if b.rounds < 1 || b.slice < time.Second || b.manyScripts < 2 {
		return nil, errors.New("-rounds must be at least 1, -slice at least 1s and -many at least 2")
	}
	raiseLimit(b.maxConnections)
	return b, nil
}

// raiseLimit raises the limit of descriptors for this program and its servers,
// as far as that is allowed. The product reserves a quarter of them for its
// scripts.
func raiseLimit(connections int) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return
	}
	want := uint64(connections)*3/2 + 1000
	higher := syscall.Rlimit{Cur: max(want, limit.Max), Max: max(want, limit.Max)}
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &higher) != nil {
		limit.Cur = limit.Max
		// too few descriptors show as errors later
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	}
}

// all runs the parts and writes the summary, even after a failure.
func (b *bench) all(ctx context.Context) (err error) {
	if b.scratch, err = os.MkdirTemp("", "stap-exporter-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.scratch)
	if err := os.MkdirAll(b.out, 0o755); err != nil {
		return err
	}
	began := time.Now()
	var failures []error
	for _, p := range parts {
		if !slices.Contains(b.parts, p.name) || ctx.Err() != nil {
			continue
		}
		if err := p.run(b, ctx); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", p.name, err))
		}
	}
	b.note("the whole run", "%.0f s", time.Since(began).Seconds())
	return errors.Join(append(failures, b.writeSummary())...)
}
