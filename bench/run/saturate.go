package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"stap-exporter/bench/scrape"
)

// The path that all servers of bench/serve have.
const path = "/bench0.stp"

const gzipHeader = "Accept-Encoding: gzip"

// saturate holds the product, on a source that costs nothing, against a bare
// handler of the same bytes, and others.
func (b *bench) saturate(ctx context.Context) error {
	var all []sideResult
	for _, size := range []int{1 << 10, 3 << 10, 64_000} {
		for _, gzip := range []bool{false, true} {
			sized := func(name string, args ...string) side {
				return side{Name: name, start: func(ctx context.Context) (*child, error) {
					return b.startServe(ctx, name, append(args, "-size", strconv.Itoa(size))...)
				}}
			}
			sides := []side{
				sized("bare", "bare"),
				sized("product", "product"),
				sized("product, same page", "product", "-constant"),
			}
			if size == 3<<10 {
				sides = append(
					sides,
					sized("mutex and read", "mutex"),
					side{
						Name:  "nginx",
						start: func(ctx context.Context) (*child, error) { return b.startNginx(ctx, size) },
					},
					sized("client_golang", "promhttp"),
				)
			}
			var headers []string
			form := "plain"
			if gzip {
				headers, form = []string{gzipHeader}, "gzip"
			}
			results, err := b.compareSides(ctx, sides, path, headers...)
			if err != nil {
				return err
			}
			what := fmt.Sprintf("%s, %s", kilobytes(size), form)
			b.printSides(what, results)
			for i := range results {
				results[i].Size, results[i].Gzip = size, gzip
			}
			all = append(all, results...)
			b.goal(
				"saturated, "+what+": requests/s of the bare handler's",
				"at least 0.95",
				results[1].Ratio >= 0.95,
				"%.2f (%.2f to %.2f); reads of the same page %.2f; CPU per reply %.1f against %.1f µs",
				results[1].Ratio,
				results[1].LowRatio,
				results[1].HighRatio,
				results[2].Ratio,
				results[1].CPU,
				results[0].CPU,
			)
			for _, r := range results[3:] {
				b.note(
					"saturated, "+what+": "+r.Name,
					"%.0f requests/s, %.2f of the bare handler's, CPU per reply %.1f µs",
					r.Rate,
					r.Ratio,
					r.CPU,
				)
			}
		}
	}
	if err := b.checkBodies(ctx); err != nil {
		return err
	}
	return b.write("saturate", all)
}

// checkBodies looks at every body of a saturated product, in all forms at once.
func (b *bench) checkBodies(ctx context.Context) error {
	c, err := b.startServe(ctx, "product", "product", "-scripts", "4")
	if err != nil {
		return err
	}
	defer c.stop()
	config := scrape.Config{
		Address:  c.address,
		Replicas: connections,
		Duration: max(5*time.Second, 2*b.slice),
		Timeout:  30 * time.Second,
		Fresh:    0.1,
		Accepts:  []string{"prometheus", "plain", "gzip", "openmetrics"},
		Checks:   scrape.Checks{Stamped: true, Fresh: true},
	}
	for i := range 4 {
		config.Paths = append(config.Paths, fmt.Sprintf("/bench%d.stp", i))
	}
	r, err := scrape.Closed(ctx, config)
	if err != nil {
		return err
	}
	b.checked("saturated, stand-in source, all forms", r)
	return nil
}

func kilobytes(n int) string {
	if n < 1000 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%d KB", (n+512)>>10)
}
