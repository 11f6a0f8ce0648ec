package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"stap-exporter/bench/scrape"
)

// path is the path of a script that all servers of bench/serve have.
const path = "/bench0.stp"

// forms are the two forms of a body: what wrk sends to get each.
var forms = []struct {
	name    string
	gzip    bool
	headers []string
}{
	{name: "plain"},
	{name: "gzip", gzip: true, headers: []string{"Accept-Encoding: gzip"}},
}

// saturate compares the product, with reads that cost nothing, with a bare
// handler of the same bytes, and with other servers.
func (b *bench) saturate(ctx context.Context) error {
	var all []sideResult
	for _, size := range []int{1 << 10, 3 << 10, 64_000} {
		for _, f := range forms {
			results, err := b.compareSides(ctx, b.saturateSides(size), path, f.headers...)
			if err != nil {
				return err
			}
			what := fmt.Sprintf("%s, %s", kilobytes(size), f.name)
			b.printSides(what, results)
			for i := range results {
				results[i].Size, results[i].Gzip = size, f.gzip
			}
			all = append(all, results...)
			bare, product, same := results[0], results[1], results[2]
			b.goal(
				"saturated, "+what+": requests/s relative to the bare handler", "at least 0.95", product.Ratio >= 0.95,
				"%.2f (%.2f to %.2f); reads of the same page %.2f; CPU per reply %.1f against %.1f µs",
				product.Ratio, product.LowRatio, product.HighRatio, same.Ratio, product.CPU, bare.CPU,
			)
			for _, r := range results[3:] {
				b.note(
					"saturated, "+what+": "+r.Name,
					"%.0f requests/s, %.2f of the bare handler's, CPU per reply %.1f µs",
					r.Rate, r.Ratio, r.CPU,
				)
			}
		}
	}
	if err := b.checkBodies(ctx); err != nil {
		return err
	}
	return b.write("saturate", all)
}

// saturateSides returns the servers for texts of size bytes: more of them for
// texts of 3 KB.
func (b *bench) saturateSides(size int) []side {
	serve := func(name string, args ...string) side {
		return side{name, func(ctx context.Context) (*child, error) {
			return b.startServe(ctx, name, append(args, "-size", strconv.Itoa(size))...)
		}}
	}
	sides := []side{
		serve("bare", "bare"),
		serve("product", "product"),
		serve("product, same page", "product", "-constant"),
	}
	if size != 3<<10 {
		return sides
	}
	nginx := func(ctx context.Context) (*child, error) { return b.startNginx(ctx, size) }
	return append(
		sides,
		serve("mutex and read", "mutex"),
		side{"nginx", nginx},
		serve("client_golang", "promhttp"),
	)
}

// checkBodies checks every body of a saturated product, in all forms at the
// same time.
func (b *bench) checkBodies(ctx context.Context) error {
	c, err := b.startServe(ctx, "product", "product", "-scripts", "4")
	if err != nil {
		return err
	}
	defer c.stop()
	r, err := scrape.Closed(ctx, scrape.Config{
		Address:  c.address,
		Paths:    paths(4),
		Replicas: connections,
		Duration: max(5*time.Second, 2*b.slice),
		Timeout:  30 * time.Second,
		Fresh:    0.1,
		Accepts:  []string{"prometheus", "plain", "gzip", "openmetrics"},
		Checks:   scrape.Checks{Stamped: true, Fresh: true},
	})
	if err != nil {
		return err
	}
	b.checked("saturated, stand-in script, all forms", r)
	return nil
}

// paths returns the paths of the stand-in scripts.
func paths(scripts int) []string {
	list := make([]string, scripts)
	for i := range list {
		list[i] = fmt.Sprintf("/bench%d.stp", i)
	}
	return list
}

// kilobytes returns a size for messages.
func kilobytes(n int) string {
	if n < 1000 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%d KB", (n+512)>>10)
}
