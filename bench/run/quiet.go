package main

import (
	"context"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"stap-exporter/bench/report"
	"stap-exporter/bench/scrape"
)

const (
	quietRequests = 2000 // timed of each kind
	quietWarmUp   = 100  // before these
	quietPause    = 2 * time.Millisecond
)

// quietLatency is a line of the results, in microseconds.
type quietLatency struct {
	Name                string
	P50, P90, P99, P999 float64
}

// quiet measures the time of a request without other load. It alternates a
// direct read of the script's file, a request to the product and one to the bare
// handler.
func (b *bench) quiet(ctx context.Context) error {
	product, err := b.startReal(ctx, b.exporter)
	if err != nil {
		return err
	}
	defer product.stop()
	bare, err := b.startServe(ctx, "bare", "bare")
	if err != nil {
		return err
	}
	defer bare.stop()
	file, err := b.fifo(product)
	if err != nil {
		return err
	}
	prober, err := scrape.NewProber(ctx, product.address, realPath)
	if err != nil {
		return err
	}
	defer prober.Close()
	bareProber, err := scrape.NewProber(ctx, bare.address, path)
	if err != nil {
		return err
	}
	defer bareProber.Close()
	kinds := []quietKind{
		{"the file, read directly", func() error { _, err := file.Read(ctx, nil); return err }},
		{"the product", prober.Probe},
		{"the bare handler", bareProber.Probe},
	}
	times, err := timeQuietly(kinds)
	if err != nil {
		return err
	}
	return b.reportQuiet(kinds, times)
}

// quietKind is something whose time is measured.
type quietKind struct {
	name string
	do   func() error
}

// timeQuietly alternates the kinds, with a pause before each, and returns their
// times.
func timeQuietly(kinds []quietKind) ([]*hdrhistogram.Histogram, error) {
	times := make([]*hdrhistogram.Histogram, len(kinds))
	for i := range times {
		times[i] = hdrhistogram.New(100, int64(time.Minute), 4)
	}
	for n := range quietWarmUp + quietRequests {
		for i, kind := range kinds {
			time.Sleep(quietPause)
			began := time.Now()
			if err := kind.do(); err != nil {
				return nil, fmt.Errorf("%s: %w", kind.name, err)
			}
			if n >= quietWarmUp {
				_ = times[i].RecordValue(int64(time.Since(began))) // never out of range
			}
		}
	}
	return times, nil
}

func (b *bench) reportQuiet(kinds []quietKind, times []*hdrhistogram.Histogram) error {
	plot := report.Plot{
		Title: fmt.Sprintf("One quiet request for a bpf script, %d of each, alternating", quietRequests),
		X:     "microseconds",
		Y:     "part of all within this time",
		LogX:  true,
	}
	micros := func(i int, q float64) float64 { return float64(times[i].ValueAtQuantile(q)) / 1000 }
	var results []quietLatency
	for i, kind := range kinds {
		results = append(results, quietLatency{
			Name: kind.name,
			P50:  micros(i, 50),
			P90:  micros(i, 90),
			P99:  micros(i, 99),
			P999: micros(i, 99.9),
		})
		line := report.Line{Name: kind.name}
		for q := 0.0; q < 100; q += 0.5 {
			line.X, line.Y = append(line.X, micros(i, q)), append(line.Y, q/100)
		}
		plot.Lines = append(plot.Lines, line)
	}
	read, product, bare := results[0], results[1], results[2]
	b.goal(
		"one quiet request on bpf relative to a bare read, p50", "less than 100 µs more", product.P50-read.P50 < 100,
		"%.0f µs more: %.0f against %.0f; a request to the bare handler takes %.0f",
		product.P50-read.P50, product.P50, read.P50, bare.P50,
	)
	b.goal(
		"the same, p99", "less than 1,000 µs more", product.P99-read.P99 < 1000,
		"%.0f µs more: %.0f against %.0f; bare handler %.0f",
		product.P99-read.P99, product.P99, read.P99, bare.P99,
	)
	if err := plot.Draw(b.out, "quiet"); err != nil {
		return err
	}
	return b.write("quiet", results)
}
