package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"stap-exporter/bench/report"
	"stap-exporter/bench/scrape"
)

// growthTime is the time of each point of a curve.
const growthTime = 3 * time.Second

// point is one measurement of a curve.
type point struct {
	Server string
	X      float64
	// Rate is replies per second, CPU microseconds of the server's CPU time per
	// reply.
	Rate, CPU              float64
	LatencyP50, LatencyP99 float64 // milliseconds
	AgeP50, AgeP99         float64 // of the data, milliseconds
	Wrong                  int64
	Megabytes              float64
}

func rate(p point) float64 { return p.Rate }

// loop is scrape.Open or scrape.Closed.
type loop func(context.Context, scrape.Config) (scrape.Result, error)

// growth measures throughput, latency and cost over each size that can grow.
func (b *bench) growth(ctx context.Context) error {
	for _, f := range []func(context.Context) error{b.byConnections, b.byScripts, b.byBody, b.byReplicas, b.byCost} {
		if err := f(ctx); err != nil {
			return err
		}
	}
	return nil
}

// measurePoint loads a server of bench/serve, whose kind is the first of args,
// and returns the point at x.
func (b *bench) measurePoint(
	ctx context.Context,
	x float64,
	load loop,
	c scrape.Config,
	args ...string,
) (p point, err error) {
	server, err := b.startServe(ctx, args[0], args...)
	if err != nil {
		return p, err
	}
	defer server.stop()
	c.Address = server.address
	c.Checks = scrape.Checks{Stamped: true, Fresh: args[0] == "product"}
	c.Duration = growthTime
	before, err := server.usage()
	if err != nil {
		return p, err
	}
	r, err := load(ctx, c)
	if err != nil {
		return p, err
	}
	after, err := server.usage()
	if err != nil {
		return p, err
	}
	if r.Wrong > 0 {
		fmt.Fprintln(b.stdout, "wrong:", r.Kinds, r.Examples)
	}
	p = point{
		Server:     args[0],
		X:          x,
		Rate:       r.Rate,
		CPU:        cpuPerReply(before, after, r.Replies),
		Wrong:      r.Wrong,
		LatencyP50: r.Latency.P50,
		LatencyP99: r.Latency.P99,
		AgeP50:     r.Age.P50,
		AgeP99:     r.Age.P99,
		Megabytes:  float64(after.resident) / (1 << 20),
	}
	fmt.Fprintf(b.stdout, "  %-8s %8g: %8.0f replies/s, CPU %7.1f µs each, latency p50 %.2f p99 %.2f ms, ",
		p.Server, x, p.Rate, p.CPU, p.LatencyP50, p.LatencyP99)
	fmt.Fprintf(b.stdout, "age p50 %.2f ms, %.0f MB, %d wrong\n", p.AgeP50, p.Megabytes, p.Wrong)
	return p, nil
}

// curve writes the points and draws them, with a line for each server and
// value.
func (b *bench) curve(name string, plot report.Plot, points []point, values map[string]func(point) float64) error {
	lines := map[string]*report.Line{}
	var order []string
	for _, p := range points {
		for _, value := range slices.Sorted(maps.Keys(values)) {
			key := p.Server + value
			if lines[key] == nil {
				lines[key] = &report.Line{Name: key}
				order = append(order, key)
			}
			lines[key].X, lines[key].Y = append(lines[key].X, p.X), append(lines[key].Y, values[value](p))
		}
	}
	for _, key := range order {
		plot.Lines = append(plot.Lines, *lines[key])
	}
	if err := plot.Draw(b.out, name); err != nil {
		return err
	}
	var wrong int64
	for _, p := range points {
		wrong += p.Wrong
	}
	if wrong > 0 {
		b.goal(name+": wrong bodies", "0", false, "%d", wrong)
	}
	return b.write(name, points)
}

func (b *bench) byConnections(ctx context.Context) error {
	fmt.Fprintln(b.stdout, "growth over connections, 3 KB, closed loop")
	var points []point
	for n := 1; n <= b.maxConnections; n *= 10 {
		for _, kind := range []string{"bare", "product"} {
			c := scrape.Config{Paths: paths(1), Replicas: n}
			p, err := b.measurePoint(ctx, float64(n), scrape.Closed, c, kind)
			if err != nil {
				return err
			}
			points = append(points, p)
		}
	}
	last := points[len(points)-2:]
	b.note(
		"growth over connections",
		"from 1 to %.0f connections the product's CPU per reply changes from %.0f to %.0f µs, "+
			"the bare handler's from %.0f to %.0f",
		last[1].X, points[1].CPU, last[1].CPU, points[0].CPU, last[0].CPU,
	)
	return b.curve("growth-connections", report.Plot{
		Title: "Throughput over connections, 3 KB, every body checked",
		X:     "connections",
		Y:     "replies/s",
		LogX:  true,
	}, points, map[string]func(point) float64{"": rate})
}

func (b *bench) byScripts(ctx context.Context) error {
	fmt.Fprintln(b.stdout, "growth over scripts, 3 KB, 64 connections, closed loop")
	var points []point
	for n := 1; n <= b.manyScripts; n *= 10 {
		c := scrape.Config{Paths: paths(n), Replicas: connections}
		p, err := b.measurePoint(ctx, float64(n), scrape.Closed, c, "product", "-scripts", strconv.Itoa(n))
		if err != nil {
			return err
		}
		points = append(points, p)
	}
	last := points[len(points)-1]
	b.note(
		"growth over scripts",
		"64 connections, each to all scripts in order: a reply costs %.0f µs of CPU with 1 script, "+
			"and %.0f µs with %.0f scripts, where hardly any read is shared",
		points[0].CPU, last.CPU, last.X,
	)
	return b.curve("growth-scripts", report.Plot{
		Title: "Throughput over scripts, 64 connections, 3 KB",
		X:     "scripts",
		Y:     "replies/s",
		LogX:  true,
	}, points, map[string]func(point) float64{"": rate})
}

func (b *bench) byBody(ctx context.Context) error {
	fmt.Fprintln(b.stdout, "growth over the body's size, 64 connections, closed loop")
	var points []point
	for _, size := range []int{0, 1 << 10, 3 << 10, 8 << 10, 16 << 10, 32 << 10, 64_000} {
		for _, kind := range []string{"bare", "product"} {
			c := scrape.Config{Paths: paths(1), Replicas: connections}
			p, err := b.measurePoint(ctx, float64(size)/1024, scrape.Closed, c, kind, "-size", strconv.Itoa(size))
			if err != nil {
				return err
			}
			points = append(points, p)
		}
	}
	n := len(points)
	b.note(
		"growth over the body",
		"from an almost empty body to 64 KB the product's CPU per reply changes from %.0f to %.0f µs, "+
			"the bare handler's from %.0f to %.0f",
		points[1].CPU, points[n-1].CPU, points[0].CPU, points[n-2].CPU,
	)
	return b.curve(
		"growth-body",
		report.Plot{Title: "CPU time of the server per reply over the body's size, 64 connections", X: "KB", Y: "µs"},
		points,
		map[string]func(point) float64{"": func(p point) float64 { return p.CPU }},
	)
}

func (b *bench) byReplicas(ctx context.Context) error {
	const scripts = 4
	fmt.Fprintln(b.stdout, "growth over replicas, each scraping 4 scripts every 500 ms, open loop")
	var points []point
	for n := 1; n <= 256; n *= 4 {
		c := scrape.Config{
			Paths:    paths(scripts),
			Replicas: n,
			Interval: 500 * time.Millisecond,
			Jitter:   0.1,
			Spread:   0.1,
			Timeout:  10 * time.Second,
			Accepts:  []string{"prometheus"},
		}
		p, err := b.measurePoint(ctx, float64(n), scrape.Open, c, "product", "-scripts", strconv.Itoa(scripts))
		if err != nil {
			return err
		}
		points = append(points, p)
	}
	first, last := points[0], points[len(points)-1]
	b.note(
		"growth over replicas",
		"from 1 to %.0f replicas (%.0f to %.0f scrapes/s) p50 changes from %.2f to %.2f ms "+
			"and p99 from %.2f to %.2f ms",
		last.X, first.Rate, last.Rate, first.LatencyP50, last.LatencyP50, first.LatencyP99, last.LatencyP99,
	)
	return b.curve("growth-replicas", report.Plot{
		Title: "Latency over replicas, each scraping 4 scripts twice a second",
		X:     "replicas",
		Y:     "ms",
		LogX:  true,
		LogY:  true,
	}, points, map[string]func(point) float64{
		" p50": func(p point) float64 { return p.LatencyP50 },
		" p99": func(p point) float64 { return p.LatencyP99 },
	})
}

func (b *bench) byCost(ctx context.Context) error {
	fmt.Fprintln(b.stdout, "growth over the cost of a read, 3 KB, 64 connections, closed loop")
	var points, products []point
	for _, cost := range []time.Duration{
		0,
		100 * time.Microsecond,
		time.Millisecond,
		5 * time.Millisecond,
		10 * time.Millisecond,
		20 * time.Millisecond,
		50 * time.Millisecond,
	} {
		for _, kind := range []string{"product", "mutex"} {
			c := scrape.Config{Paths: paths(1), Replicas: connections}
			p, err := b.measurePoint(ctx, cost.Seconds()*1000, scrape.Closed, c, kind, "-cost", cost.String())
			if err != nil {
				return err
			}
			points = append(points, p)
			if kind == "product" {
				products = append(products, p)
			}
		}
	}
	product, mutex := points[len(points)-2], points[len(points)-1]
	b.note(
		"growth over the cost of a read",
		"with reads of 50 ms the product sends %.0f replies/s, p50 %.0f ms, of data %.0f ms old; "+
			"a read for each request, behind a mutex, %.0f replies/s, p50 %.0f ms",
		product.Rate, product.LatencyP50, product.AgeP50, mutex.Rate, mutex.LatencyP50,
	)
	if err := b.curve("growth-cost", report.Plot{
		Title: "Throughput over the cost of a read, 64 connections",
		X:     "ms",
		Y:     "replies/s",
		LogY:  true,
	}, points, map[string]func(point) float64{"": rate}); err != nil {
		return err
	}
	return b.curve(
		"growth-cost-freshness",
		report.Plot{Title: "Latency and age of the data over the cost of a read, 64 connections", X: "ms", Y: "ms"},
		products,
		map[string]func(point) float64{
			" latency p50": func(p point) float64 { return p.LatencyP50 },
			" age p50":     func(p point) float64 { return p.AgeP50 },
			" age p99":     func(p point) float64 { return p.AgeP99 },
		},
	)
}
