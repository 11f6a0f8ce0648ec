package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// connections is the number of connections of a comparison.
const connections = 64

// side is one server of a comparison.
type side struct {
	name  string
	start func(context.Context) (*child, error)
}

// sideResult is the result of one side: the medians of its rounds.
type sideResult struct {
	Name                string
	Rate                float64
	CPU                 float64 // microseconds per reply
	Ratio               float64 // of Rate to the first side's in the same round
	LowRatio, HighRatio float64
	Rounds              []wrkResult
	Connections, Size   int
	Gzip                bool
}

// summarize sets the medians from Rounds; base are the rounds of the first
// side.
func (r *sideResult) summarize(base []wrkResult) {
	var rates, cpus, ratios []float64
	for i, round := range r.Rounds {
		rates, cpus = append(rates, round.Rate), append(cpus, round.CPU)
		ratios = append(ratios, round.Rate/base[i].Rate)
	}
	r.Rate, r.CPU, r.Ratio = median(rates), median(cpus), median(ratios)
	r.LowRatio, r.HighRatio = slices.Min(ratios), slices.Max(ratios)
	r.Connections = connections
}

// compareSides loads the sides one after another, round after round, so that
// other load on the machine affects all of them. The others are compared with
// the first side.
func (b *bench) compareSides(ctx context.Context, sides []side, path string, headers ...string) ([]sideResult, error) {
	children := make([]*child, len(sides))
	results := make([]sideResult, len(sides))
	for i, s := range sides {
		c, err := s.start(ctx)
		if err != nil {
			return nil, err
		}
		defer c.stop()
		children[i], results[i].Name = c, s.name
		// A second to warm up.
		if _, err := b.wrk(ctx, c, path, connections, time.Second, headers...); err != nil {
			return nil, err
		}
	}
	for round := range b.rounds {
		for n := range sides {
			i := (n + round) % len(sides) // each round begins with another side
			r, err := b.wrk(ctx, children[i], path, connections, b.slice, headers...)
			if err != nil {
				return nil, err
			}
			if r.Wrong > 0 {
				return nil, fmt.Errorf("%s: %d wrong replies", sides[i].name, r.Wrong)
			}
			results[i].Rounds = append(results[i].Rounds, r)
		}
	}
	for i := range results {
		results[i].summarize(results[0].Rounds)
	}
	return results, nil
}

// printSides prints a comparison.
func (b *bench) printSides(what string, results []sideResult) {
	fmt.Fprintf(b.stdout, "%s, %d connections, %d rounds of %s\n", what, connections, b.rounds, b.slice)
	for _, r := range results {
		fmt.Fprintf(
			b.stdout,
			"  %-19s %8.0f requests/s  %7.2f µs CPU each  %.3f of %s (%.3f to %.3f)\n",
			r.Name, r.Rate, r.CPU, r.Ratio, results[0].Name, r.LowRatio, r.HighRatio,
		)
	}
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	n := len(list)
	if n == 0 {
		return 0
	}
	return (list[(n-1)/2] + list[n/2]) / 2
}
