package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"stap-exporter/bench/scrape"
)

// real compares the exporter with a real script under bpf with a bare handler
// of the same bytes, and with the Python exporter.
func (b *bench) real(ctx context.Context) error {
	product, err := b.startReal(ctx, b.exporter)
	if err != nil {
		return err
	}
	defer product.stop()
	var all []sideResult
	for _, f := range forms {
		results, err := b.realRounds(ctx, product, f.headers)
		if err != nil {
			return err
		}
		bare, whole := results[0], results[1]
		what := fmt.Sprintf("bpf, %s of %s, %s", kilobytes(bare.Size), realScript, f.name)
		b.printSides(what, results)
		b.goal(
			"saturated, "+what+": requests/s relative to the bare handler", "at least 0.8", whole.Ratio >= 0.8,
			"%.2f (%.2f to %.2f); %.0f against %.0f requests/s",
			whole.Ratio, whole.LowRatio, whole.HighRatio, whole.Rate, bare.Rate,
		)
		for i := range results {
			results[i].Gzip = f.gzip
		}
		all = append(all, results...)
	}
	r, err := scrape.Closed(ctx, scrape.Config{
		Address:  product.address,
		Paths:    []string{realPath},
		Replicas: connections,
		Duration: 2 * b.slice,
		Timeout:  30 * time.Second,
		Accepts:  []string{"prometheus", "plain", "gzip"},
		Checks:   scrape.Checks{Counters: true},
	})
	if err != nil {
		return err
	}
	b.checked("saturated, bpf, all forms", r)
	if b.python == "" {
		b.note("the Python exporter", "not measured: no path given")
		return b.write("real", all)
	}
	results, err := b.againstPython(ctx, product)
	if err != nil {
		return err
	}
	return b.write("real", append(all, results...))
}

// realRounds measures a bare handler and the product in each round. The bare
// handler gets the script's present text, because that grows.
func (b *bench) realRounds(ctx context.Context, product *child, headers []string) ([]sideResult, error) {
	bare, whole := sideResult{Name: "bare"}, sideResult{Name: "product"}
	for range b.rounds {
		text, err := get(ctx, "http://"+product.address+realPath)
		if err != nil {
			return nil, err
		}
		first, err := b.wrkBare(ctx, text, headers)
		if err != nil {
			return nil, err
		}
		second, err := b.wrk(ctx, product, realPath, connections, b.slice, headers...)
		if err != nil {
			return nil, err
		}
		if n := first.Wrong + second.Wrong; n > 0 {
			return nil, fmt.Errorf("%d wrong replies", n)
		}
		bare.Size, whole.Size = len(text), len(text)
		bare.Rounds, whole.Rounds = append(bare.Rounds, first), append(whole.Rounds, second)
	}
	bare.summarize(bare.Rounds)
	whole.summarize(bare.Rounds)
	return []sideResult{bare, whole}, nil
}

// wrkBare loads a bare handler of the text.
func (b *bench) wrkBare(ctx context.Context, text []byte, headers []string) (r wrkResult, err error) {
	file := filepath.Join(b.scratch, "text")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return r, err
	}
	c, err := b.startServe(ctx, "bare", "bare", "-text", file)
	if err != nil {
		return r, err
	}
	defer c.stop()
	return b.wrk(ctx, c, path, connections, b.slice, headers...)
}
