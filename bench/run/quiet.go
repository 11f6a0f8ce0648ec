package main

import (
	"context"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"stap-exporter/bench/report"
	"stap-exporter/bench/scrape"
)

// quietly is how many requests are timed, and quietPause what lies before each.
const (
	quietRequests = 2000
	quietPause    = 2 * time.Millisecond
)

// quiet measures what a request takes when nobody else asks, beside a bare read
// of the script's file and a request to the bare handler, in turns.
func (b *bench) quiet(ctx context.Context) error {
	product, err := b.startReal(ctx)
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
	ask, err := scrape.NewProber(ctx, product.address, realPath)
	if err != nil {
		return err
	}
	defer ask.Close()
	askBare, err := scrape.NewProber(ctx, bare.address, path)
	if err != nil {
		return err
	}
	defer askBare.Close()
	ways := []struct {
		name string
		do   func() error
	}{
		{"the file, read directly", func() error { _, err := file.Read(ctx, nil); return err }},
		{"the product", ask.Probe},
		{"the bare handler", askBare.Probe},
	}
	times := make([]*hdrhistogram.Histogram, len(ways))
	for i := range times {
		times[i] = hdrhistogram.New(100, int64(time.Minute), 4)
	}
	for n := range quietRequests + 100 {
		for i, way := range ways {
			time.Sleep(quietPause)
			began := time.Now()
			if err := way.do(); err != nil {
				return fmt.Errorf("%s: %w", way.name, err)
			}
			if n >= 100 { // the first are to warm up
				_ = times[i].RecordValue(int64(time.Since(began))) // cannot be out of range
			}
		}
	}
	plot := report.Plot{
		Title: fmt.Sprintf("One quiet request for a bpf script, %d of each in turns", quietRequests),
		X:     "microseconds",
		Y:     "part that was there in time",
		LogX:  true,
	}
	micros := func(i int, q float64) float64 { return float64(times[i].ValueAtQuantile(q)) / 1000 }
	type latency struct {
		Name                string
		P50, P90, P99, P999 float64 // microseconds
	}
	var results []latency
	for i, way := range ways {
		results = append(results, latency{
			Name: way.name,
			P50:  micros(i, 50),
			P90:  micros(i, 90),
			P99:  micros(i, 99),
			P999: micros(i, 99.9),
		})
		line := report.Line{Name: way.name}
		for q := 0.0; q < 100; q += 0.5 {
			line.X, line.Y = append(line.X, micros(i, q)), append(line.Y, q/100)
		}
		plot.Lines = append(plot.Lines, line)
	}
	read, product1, bare1 := results[0], results[1], results[2]
	b.goal(
		"one quiet request on bpf beside a bare read, p50",
		"less than 100 µs more",
		product1.P50-read.P50 < 100,
		"%.0f µs more: %.0f against %.0f; a request to the bare handler takes %.0f",
		product1.P50-read.P50,
		product1.P50,
		read.P50,
		bare1.P50,
	)
	b.goal(
		"the same, p99",
		"less than 1,000 µs more",
		product1.P99-read.P99 < 1000,
		"%.0f µs more: %.0f against %.0f; bare handler %.0f",
		product1.P99-read.P99,
		product1.P99,
		read.P99,
		bare1.P99,
	)
	if err := plot.Draw(b.out, "quiet"); err != nil {
		return err
	}
	return b.write("quiet", results)
}
