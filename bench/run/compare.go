package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"stap-exporter/bench/scrape"
)

// comparePart is the name of the part that needs -before.
const comparePart = "compare"

const (
	compareReplicas = 20
	compareInterval = 15 * time.Second
	compareClients  = 16
	// Times of one exporter in one round, in slices: two intervals for many
	// scripts with the default slice.
	compareScriptsSlices = 15
	compareBPFSlices     = 5
)

// sample is what was measured of one exporter in one round, or a ratio of two.
type sample struct {
	CPU   float64 // microseconds of CPU time per reply
	P99   float64 // latency in milliseconds
	Rate  float64 // replies per second
	Wrong int64   `json:",omitempty"` // wrong replies
}

// comparison is the result of one load on both exporters.
type comparison struct {
	Load          string
	Before, After sample // medians of the rounds; Wrong is the sum
	// Ratio is the median of After / Before in each round, between Low and
	// High.
	Ratio, Low, High sample
	Rounds           []comparedRound
}

type comparedRound struct{ Before, After sample }

// compare compares two builds of the exporter, -before and -exporter, under two
// loads: very many stand-in scripts, scraped as Prometheus does, and one real
// bpf script with as many requests as it can answer.
func (b *bench) compare(ctx context.Context) error {
	scripts, err := b.compareLoad(
		ctx,
		fmt.Sprintf("%d scripts, %d replicas, %s interval", b.manyScripts, compareReplicas, compareInterval),
		b.startStandIns,
		b.scrapeStandIns,
	)
	if err != nil {
		return err
	}
	bpf, err := b.compareLoad(
		ctx,
		fmt.Sprintf("saturated bpf, %d clients", compareClients),
		b.startReal,
		func(ctx context.Context, c *child) (sample, error) {
			r, err := b.wrk(ctx, c, realPath, compareClients, compareBPFSlices*b.slice)
			return sample{
				CPU:   r.CPU,
				P99:   r.P99,
				Rate:  r.Rate,
				Wrong: int64(r.Wrong),
			}, err
		},
	)
	if err != nil {
		return err
	}
	results := []comparison{scripts, bpf}
	b.printComparisons(results)
	return b.write(comparePart, results)
}

// compareLoad starts both exporters and measures them in alternating order,
// round after round.
func (b *bench) compareLoad(
	ctx context.Context,
	load string,
	begin func(ctx context.Context, program string) (*child, error),
	measure func(context.Context, *child) (sample, error),
) (c comparison, err error) {
	var children [2]*child
	for i, program := range []string{b.before, b.exporter} {
		if children[i], err = begin(ctx, program); err != nil {
			return c, err
		}
		defer children[i].stop()
	}
	c.Load = load
	for n := range b.rounds {
		var samples [2]sample
		for _, i := range [][]int{{0, 1}, {1, 0}}[n%2] {
			if samples[i], err = measure(ctx, children[i]); err != nil {
				return c, err
			}
		}
		round := comparedRound{samples[0], samples[1]}
		c.Rounds = append(c.Rounds, round)
		fmt.Fprintf(b.stdout, "%s, round %d: before %+v, after %+v\n", load, n+1, round.Before, round.After)
	}
	c.summarize()
	return c, nil
}

// fields are the values of a sample.
var fields = []struct {
	name string
	of   func(*sample) *float64
}{
	{"CPU per reply, µs", func(s *sample) *float64 { return &s.CPU }},
	{"p99, ms", func(s *sample) *float64 { return &s.P99 }},
	{"replies/s", func(s *sample) *float64 { return &s.Rate }},
}

// summarize sets all other fields from Rounds.
func (c *comparison) summarize() {
	for _, r := range c.Rounds {
		c.Before.Wrong += r.Before.Wrong
		c.After.Wrong += r.After.Wrong
	}
	for _, f := range fields {
		var before, after, ratios []float64
		for _, r := range c.Rounds {
			x, y := *f.of(&r.Before), *f.of(&r.After)
			before, after, ratios = append(before, x), append(after, y), append(ratios, y/x)
		}
		*f.of(&c.Before), *f.of(&c.After), *f.of(&c.Ratio) = median(before), median(after), median(ratios)
		*f.of(&c.Low), *f.of(&c.High) = slices.Min(ratios), slices.Max(ratios)
	}
}

func (b *bench) printComparisons(results []comparison) {
	fmt.Fprintf(b.stdout, "\nbefore: %s, after: %s, medians of %d rounds\n", b.before, b.exporter, b.rounds)
	w := tabwriter.NewWriter(b.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "load\tvalue\tbefore\tafter\tafter/before")
	for _, c := range results {
		for _, f := range fields {
			fmt.Fprintf(w, "%s\t%s\t%.2f\t%.2f\t%.2f (%.2f to %.2f)\n", c.Load, f.name,
				*f.of(&c.Before), *f.of(&c.After), *f.of(&c.Ratio), *f.of(&c.Low), *f.of(&c.High))
		}
		fmt.Fprintf(w, "%s\twrong replies\t%d\t%d\t\n", c.Load, c.Before.Wrong, c.After.Wrong)
	}
	_ = w.Flush()
}

// startStandIns starts an exporter with very many stand-in scripts, and waits
// until all of them run. Only the exporter's own processes count.
func (b *bench) startStandIns(ctx context.Context, program string) (*child, error) {
	standin, err := filepath.Abs(b.standin)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(b.scratch, "standins")
	if err != nil {
		return nil, err
	}
	text := fmt.Appendf(nil, "#!%s\n# stap-exporter: autostart=true\n", standin)
	for _, path := range paths(b.manyScripts) {
		if err := os.WriteFile(filepath.Join(dir, path), text, 0o700); err != nil {
			return nil, err
		}
	}
	c, err := b.startExporter(ctx, program, dir, func(ctx context.Context, c *child) error {
		for _, path := range paths(b.manyScripts) {
			if err := c.waitFor(ctx, path, startTimeout); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if c.program, err = os.Readlink(fmt.Sprintf("/proc/%d/exe", c.cmd.Process.Pid)); err != nil {
		c.stop()
		return nil, err
	}
	time.Sleep(settle)
	return c, nil
}

// scrapeStandIns scrapes all stand-in scripts in an open loop and checks every
// body.
func (b *bench) scrapeStandIns(ctx context.Context, c *child) (s sample, err error) {
	before, err := c.usage()
	if err != nil {
		return s, err
	}
	r, err := scrape.Open(ctx, scrape.Config{
		Address:  c.address,
		Paths:    paths(b.manyScripts),
		Replicas: compareReplicas,
		Interval: compareInterval,
		Jitter:   0.1,
		Duration: compareScriptsSlices * b.slice,
		Timeout:  10 * time.Second,
		Accepts:  []string{"prometheus"},
		Checks:   scrape.Checks{Stamped: true, Fresh: true},
	})
	if err != nil {
		return s, err
	}
	after, err := c.usage()
	if err != nil {
		return s, err
	}
	if r.Wrong > 0 {
		fmt.Fprintln(b.stdout, "wrong:", c.name, r.Kinds, r.Examples)
	}
	return sample{
		CPU:   cpuPerReply(before, after, r.Replies),
		P99:   r.Latency.P99,
		Rate:  r.Rate,
		Wrong: r.Wrong,
	}, nil
}
