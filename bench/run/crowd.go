package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"stap-exporter/bench/scrape"
)

const (
	// the Go runtime returns the memory of the start within this time
	settle         = 3 * time.Second
	crowdRounds    = 3
	crowdRoundTime = time.Minute // at the longest
)

// crowdResult is a server with many open connections.
type crowdResult struct {
	Name                 string
	Connections, Scripts int
	// Before and After are bytes of resident memory: without a connection, and
	// after several requests over each.
	Before, After int64
	StartTime     time.Duration
	Last          scrape.Result // of the last round
}

// crowd opens many connections to the product with one script and with many,
// and to the bare handler.
func (b *bench) crowd(ctx context.Context) error {
	many := strconv.Itoa(b.manyScripts)
	fresh := scrape.Checks{Stamped: true, Fresh: true}
	var results []crowdResult
	for _, c := range []struct {
		name    string
		scripts int
		checks  scrape.Checks
		args    []string
	}{
		{
			name:    "bare",
			scripts: 1,
			checks:  scrape.Checks{Stamped: true},
			args:    []string{"bare"},
		},
		{
			name:    "product",
			scripts: 1,
			checks:  fresh,
			args:    []string{"product"},
		},
		{
			name:    "product",
			scripts: b.manyScripts,
			checks:  fresh,
			args:    []string{"product", "-scripts", many},
		},
	} {
		r, err := b.measureCrowd(ctx, c.name, c.scripts, c.checks, c.args...)
		if err != nil {
			return err
		}
		results = append(results, r)
	}
	b.reportCrowd(results[0], results[1], results[2])
	return b.write("crowd", results)
}

func (b *bench) reportCrowd(bare, one, many crowdResult) {
	mb := func(n int64) float64 { return float64(n) / (1 << 20) }
	limit := 1.2*float64(bare.After) + float64(b.manyScripts)*40*1024
	b.goal(
		fmt.Sprintf("memory, %d connections and %d scripts", b.maxConnections, b.manyScripts),
		"at most 1.2 times the bare handler's + 40 KB a script",
		float64(many.After) <= limit,
		"%.0f MB, limit %.0f: bare handler %.0f MB, product with one script %.0f MB (%.2f times)",
		mb(many.After), limit/(1<<20), mb(bare.After), mb(one.After), float64(one.After)/float64(bare.After),
	)
	b.goal(
		"wrong replies in that state", "0", many.Last.Wrong == 0 && many.Last.Replies == int64(b.maxConnections),
		"%d of %d %v; p50 %.2f ms, p99 %.2f ms, %d at a time",
		many.Last.Wrong, many.Last.Replies, many.Last.Examples,
		many.Last.Latency.P50, many.Last.Latency.P99, scrape.CrowdWorkers,
	)
	perConnection := func(r crowdResult) float64 { return float64(r.After-r.Before) / 1024 / float64(b.maxConnections) }
	b.note("memory of a connection", "%.1f KB, bare handler %.1f KB", perConnection(one), perConnection(bare))
	b.note(
		"memory of a running script without requests", "%.1f KB",
		float64(many.Before-one.Before)/1024/float64(b.manyScripts-1),
	)
}

func (b *bench) measureCrowd(
	ctx context.Context,
	name string,
	scripts int,
	checks scrape.Checks,
	args ...string,
) (r crowdResult, err error) {
	c, err := b.startServe(ctx, name, args...)
	if err != nil {
		return r, err
	}
	defer c.stop()
	r = crowdResult{
		Name:        name,
		Connections: b.maxConnections,
		Scripts:     scripts,
		StartTime:   c.startTime,
	}
	time.Sleep(settle)
	u, err := c.usage()
	if err != nil {
		return r, err
	}
	r.Before = u.resident
	crowd, err := scrape.NewCrowd(ctx, scrape.Config{
		Address:  c.address,
		Paths:    paths(scripts),
		Replicas: b.maxConnections,
		Duration: crowdRoundTime,
		Accepts:  []string{"prometheus"},
		Timeout:  crowdRoundTime,
		Checks:   checks,
	})
	if err != nil {
		return r, fmt.Errorf("open %d connections (ulimit -n must allow them here and in the server): %w",
			b.maxConnections, err)
	}
	defer crowd.Close()
	for range crowdRounds {
		r.Last = crowd.ScrapeAll(ctx)
	}
	r.Last.Latency.Points, r.Last.Age.Points = nil, nil
	u, err = c.usage()
	r.After = u.resident
	return r, err
}
