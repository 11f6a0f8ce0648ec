package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// connections of a comparison.
const connections = 64

// side is one server of a comparison.
type side struct {
	Name  string
	start func(context.Context) (*child, error)
	// it closes its connections after each reply, and wrk counts that as
	// errors: not looked at
	closes bool
}

// compared is how one side did, the medians of its turns.
type sideResult struct {
	Name                string
	Rate                float64
	CPU                 float64 // microseconds per reply
	Ratio               float64 // of Rate to the first side's in the same round: the median
	LowRatio, HighRatio float64
	Rounds              []wrkResult
	Connections, Size   int
	Gzip                bool
}

// compare lets the sides take turns, round after round, so that what else
// happens on the machine meets all of them. The first side is what the others
// are held against.
func (b *bench) compareSides(ctx context.Context, sides []side, path string, headers ...string) ([]sideResult, error) {
	children := make([]*child, len(sides))
	for i, s := range sides {
		c, err := s.start(ctx)
		if err != nil {
			return nil, err
		}
		defer c.stop()
		children[i] = c
		if _, err := b.wrk(ctx, c, path, connections, time.Second, headers...); err != nil {
			// to warm up
			return nil, err
		}
	}
	turns := make([][]wrkResult, len(sides))
	for round := range b.rounds {
		for turn := range sides {
			i := (turn + round) % len(sides) // nobody is always the first
			s, err := b.wrk(ctx, children[i], path, connections, b.slice, headers...)
			if err != nil {
				return nil, err
			}
			if s.Wrong > 0 && !sides[i].closes {
				return nil, fmt.Errorf("%s: %d wrong replies", sides[i].Name, s.Wrong)
			}
			turns[i] = append(turns[i], s)
		}
	}
	results := make([]sideResult, len(sides))
	for i, s := range sides {
		var rates, cpus, ratios []float64
		for round, t := range turns[i] {
			rates, cpus = append(rates, t.Rate), append(cpus, t.CPU)
			ratios = append(ratios, t.Rate/turns[0][round].Rate)
		}
		results[i] = sideResult{
			Name:        s.Name,
			Rate:        median(rates),
			CPU:         median(cpus),
			Rounds:      turns[i],
			Connections: connections,
			Ratio:       median(ratios),
			LowRatio:    slices.Min(ratios),
			HighRatio:   slices.Max(ratios),
		}
	}
	return results, nil
}

// tell prints a comparison.
func (b *bench) printSides(what string, results []sideResult) {
	fmt.Fprintf(b.stdout, "%s, %d connections, %d rounds of %s\n", what, connections, b.rounds, b.slice)
	for _, r := range results {
		fmt.Fprintf(
			b.stdout,
			"  %-19s %8.0f requests/s  %7.2f µs CPU each  %.3f of %s (%.3f to %.3f)\n",
			r.Name,
			r.Rate,
			r.CPU,
			r.Ratio,
			results[0].Name,
			r.LowRatio,
			r.HighRatio,
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
