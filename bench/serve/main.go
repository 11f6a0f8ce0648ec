// Serve is the servers that the benchmarks compare, one for each run of the program: serve KIND -size 3072 …
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
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// options are the command line.
type options struct {
	kind    string
	listen  string
	source  sourceOptions
	scripts int
	silent  bool // leave the scripts alone until they are asked for
	profile profiles
	proto   bool
}

// server is one of the compared.
type server interface {
	Serve(net.Listener) error
	Close()
}

var kinds = map[string]func(options) (server, error){
	"product": newProduct,
	"bare":    newBare,
	"mutex":   newMutex,
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
	names := make([]string, 0, len(kinds))
	for k := range kinds {
		names = append(names, k)
	}
	slices.Sort(names)
	f.Usage = func() {
		fmt.Fprintln(stderr, "serve KIND [flags], KIND being one of", names)
		f.PrintDefaults()
	}
	f.StringVar(&o.listen, "listen", "127.0.0.1:0", "address")
	f.IntVar(&o.source.size, "size", 3<<10, "bytes of a text, at most 65,000")
	f.DurationVar(&o.source.cost, "cost", 0, "what a read of the source takes")
	f.BoolVar(&o.source.spin, "spin", false, "the cost is CPU time, not waiting")
	f.BoolVar(&o.source.constant, "constant", false, "product: every read gives the same page, made once: neither a text is made nor the gate passed")
	f.IntVar(&o.scripts, "scripts", 1, "how many scripts")
	f.BoolVar(&o.silent, "on-demand", false, "product: the scripts run when they are asked for, not from the start")
	f.BoolVar(&o.proto, "protoactor", false, "product: with protoactor-go's own metrics")
	f.StringVar(&o.profile.cpu, "cpuprofile", "", "write a CPU profile of the whole run to this file")
	f.StringVar(&o.profile.mutex, "mutexprofile", "", "write a profile of mutex contention to this file at the end")
	f.StringVar(&o.profile.block, "blockprofile", "", "write a profile of blocking to this file at the end")
	f.StringVar(&o.profile.allocs, "memprofile", "", "write a profile of all allocations to this file at the end")
	if len(args) == 0 || kinds[args[0]] == nil {
		f.Usage()
		return o, flag.ErrHelp
	}
	o.kind = args[0]
	if err := f.Parse(args[1:]); err != nil {
		return o, flag.ErrHelp
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected %q", f.Args())
	}
	if o.source.size > 65000 {
		return o, fmt.Errorf("-size %d: SystemTap cuts texts at 65,535 bytes, so at most 65,000", o.source.size)
	}
	return o, nil
}

// ready is the line on stdout that says that the server listens.
type ready struct {
	Address string
	Took    time.Duration // from the start of main to listening
}

func serve(o options, stdout io.Writer) error {
	began := time.Now()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	// Whoever started this may be killed: then it is to end, too.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGTERM), 0, 0, 0); err != nil {
		return fmt.Errorf("set parent-death signal: %w", err)
	}
	ln, err := net.Listen("tcp", o.listen)
	if err != nil {
		return err
	}
	s, err := kinds[o.kind](o)
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
	if err := json.NewEncoder(stdout).Encode(ready{ln.Addr().String(), time.Since(began)}); err != nil {
		return err
	}
	select {
	case <-signals:
	case err = <-ended:
	}
	return errors.Join(err, stop())
}
