package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"
)

// bench is one run of the comparisons.
type bench struct {
	serve   string // the server program
	profile string // prefix of profiles of the servers; empty: none
	rounds  int
	slice   time.Duration // of one server in one round
	sizes   []int
	parts   []string
	stdout  io.Writer
}

func newBench(args []string, stdout, stderr io.Writer) (*bench, error) {
	b := &bench{stdout: stdout}
	f := flag.NewFlagSet("run", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&b.serve, "serve", "bin/bench/serve", "the server program")
	f.StringVar(&b.profile, "profile", "", "write profiles of the servers, with this before their names")
	f.IntVar(&b.rounds, "rounds", 5, "how often each server takes its turn")
	f.DurationVar(&b.slice, "slice", 2*time.Second, "how long a turn is, in whole seconds")
	if err := f.Parse(args); err != nil {
		return nil, flag.ErrHelp
	}
	b.sizes = []int{3 << 10}
	b.parts = f.Args()
	return b, nil
}

func (b *bench) all(ctx context.Context) error {
	for _, size := range b.sizes {
		for _, gzip := range []bool{false, true} {
			if err := b.saturate(ctx, size, gzip); err != nil {
				return err
			}
		}
	}
	return nil
}

// saturate lets the servers take turns at 64 connections.
func (b *bench) saturate(ctx context.Context, size int, gzip bool) error {
	type side struct {
		name string
		args []string
	}
	sized := []string{"-size", strconv.Itoa(size)}
	sides := []side{
		{"bare", append([]string{"bare"}, sized...)},
		{"product", append([]string{"product"}, sized...)},
		{"product-constant", append([]string{"product", "-constant"}, sized...)},
	}
	var headers []string
	if gzip {
		headers = append(headers, "Accept-Encoding: gzip")
	}
	children := make([]*child, len(sides))
	for i, s := range sides {
		c, err := b.startServe(ctx, s.name, s.args...)
		if err != nil {
			return err
		}
		defer c.stop()
		children[i] = c
		if _, err := b.wrk(ctx, c, "/bench0.stp", 64, time.Second, headers...); err != nil { // warm
			return err
		}
	}
	results := make([][]saturated, len(sides))
	for round := range b.rounds {
		for turn := range sides {
			i := (turn + round) % len(sides) // nobody is always the first
			s, err := b.wrk(ctx, children[i], "/bench0.stp", 64, b.slice, headers...)
			if err != nil {
				return err
			}
			if s.Wrong > 0 {
				return fmt.Errorf("%s: %d wrong replies:\n%s", sides[i].name, s.Wrong, s.Latency)
			}
			results[i] = append(results[i], s)
		}
	}
	fmt.Fprintf(b.stdout, "%d bytes, gzip %v, 64 connections, %d rounds of %s\n", size, gzip, b.rounds, b.slice)
	for i, s := range sides {
		var ratios, cpus, rates []float64
		for round, r := range results[i] {
			rates, cpus = append(rates, r.Rate), append(cpus, r.CPU)
			ratios = append(ratios, r.Rate/results[0][round].Rate)
		}
		fmt.Fprintf(b.stdout, "%-18s %8.0f requests/s  %6.2f µs CPU each  ratio to bare %.3f (%.3f to %.3f)\n", s.name, median(rates), median(cpus), median(ratios), slices.Min(ratios), slices.Max(ratios))
	}
	return nil
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	n := len(list)
	if n == 0 {
		return 0
	}
	return (list[(n-1)/2] + list[n/2]) / 2
}
