package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"stap-exporter/bench/scrape"
)

const (
	manyScripts    = 1000
	idleScripts    = 100
	idleTime       = 20 * time.Second
	settle         = 3 * time.Second // for the Go runtime to give back what a start took
	crowdRounds    = 3
	crowdRoundTime = time.Minute // the longest
)

// crowded is a server with many open connections.
type crowdResult struct {
	Name                 string
	Connections, Scripts int
	// bytes of resident memory, with no connection and after each has asked
	// several times
	Before, After int64
	StartTime     time.Duration
	Last          scrape.Result // of the last sweep
}

// crowd opens many connections to the product with many scripts, and as many to
// the bare handler.
func (b *bench) crowd(ctx context.Context) error {
	var results []crowdResult
	for _, c := range []struct {
		name    string
		scripts int
		args    []string
		checks  scrape.Checks
	}{
		{"bare", 1, []string{"bare"}, scrape.Checks{Stamped: true}},
		{"product", 1, []string{"product"}, scrape.Checks{Stamped: true, Fresh: true}},
		{"product", manyScripts, []string{"product", "-scripts", strconv.Itoa(manyScripts)}, scrape.Checks{Stamped: true, Fresh: true}},
	} {
		r, err := b.measureCrowd(ctx, c.name, c.scripts, c.checks, c.args...)
		if err != nil {
			return err
		}
		results = append(results, r)
	}
	bare, one, many := results[0], results[1], results[2]
	mb := func(n int64) float64 { return float64(n) / (1 << 20) }
	limit := 1.2*float64(bare.After) + 40<<10*manyScripts
	b.goal(
		fmt.Sprintf("memory, %d connections and %d scripts", b.maxConnections, manyScripts),
		"at most 1.2 times the bare handler's + 40 KB a script",
		float64(many.After) <= limit,
		"%.0f MB, the limit being %.0f: bare handler %.0f MB, product with one script %.0f MB (%.2f times)",
		mb(many.After),
		limit/(1<<20),
		mb(bare.After),
		mb(one.After),
		float64(one.After)/float64(bare.After),
	)
	b.goal(
		"it still serves them: wrong replies",
		"0",
		many.Last.Wrong == 0 && many.Last.Replies == int64(b.maxConnections),
		"%d of %d %v; p50 %.2f ms, p99 %.2f ms, %d at a time",
		many.Last.Wrong,
		many.Last.Replies,
		many.Last.Examples,
		many.Last.Latency.P50,
		many.Last.Latency.P99,
		64,
	)
	b.note(
		"memory of a connection",
		"%.1f KB, bare handler %.1f KB",
		float64(one.After-one.Before)/1024/float64(b.maxConnections),
		float64(bare.After-bare.Before)/1024/float64(b.maxConnections),
	)
	b.note(
		"memory of a running script that nobody asks",
		"%.1f KB",
		float64(many.Before-one.Before)/1024/(manyScripts-1),
	)
	return b.write("crowd", results)
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
		return r, fmt.Errorf(
			"open %d connections (ulimit -n of this program and of the server has to allow them): %w",
			b.maxConnections,
			err,
		)
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

// paths of the scripts of bench/serve.
func paths(scripts int) []string {
	list := make([]string, scripts)
	for i := range list {
		list[i] = fmt.Sprintf("/bench%d.stp", i)
	}
	return list
}

// idle looks at what the product uses while nobody asks.
func (b *bench) idle(ctx context.Context) error {
	stand, err := b.startServe(ctx, "product", "product", "-scripts", strconv.Itoa(idleScripts))
	if err != nil {
		return err
	}
	defer stand.stop()
	// The real exporter with as many scripts that have not been asked for.
	whole, err := b.startIdle(ctx, idleScripts)
	if err != nil {
		return err
	}
	defer whole.stop()
	children := []*child{stand, whole}
	names := []string{"running, stand-in source", "never asked for, the real exporter and its guardian"}
	before := make([]usage, len(children))
	time.Sleep(2 * settle)
	for i, c := range children {
		if before[i], err = c.usage(); err != nil {
			return err
		}
	}
	began := time.Now()
	select {
	case <-time.After(idleTime):
	case <-ctx.Done():
		return ctx.Err()
	}
	took := time.Since(began)
	var results []map[string]any
	for i, c := range children {
		after, err := c.usage()
		if err != nil {
			return err
		}
		cpu := 100 * float64(after.cpu-before[i].cpu) / float64(took)
		mb := float64(after.shared) / (1 << 20)
		b.goal(
			fmt.Sprintf("idle, %d scripts, %s", idleScripts, names[i]),
			"less than 40 MB and 0.5 % of a core",
			mb < 40 && cpu < 0.5,
			"%.0f MB (Pss; Rss, which counts shared pages twice, %.0f), %.2f %% of a core",
			mb,
			float64(after.resident)/(1<<20),
			cpu,
		)
		results = append(
			results,
			map[string]any{
				"Name":          names[i],
				"Scripts":       idleScripts,
				"Megabytes":     mb,
				"Resident":      after.resident,
				"PercentOfCore": cpu,
			},
		)
	}
	return b.write("idle", results)
}

// startIdle starts the real exporter with many on-demand scripts, none of which
// is asked for.
func (b *bench) startIdle(ctx context.Context, scripts int) (*child, error) {
	dir, err := os.MkdirTemp(b.scratch, "scripts")
	if err != nil {
		return nil, err
	}
	for i := range scripts {
		text := fmt.Appendf(
			nil,
			"global n%d\nprobe timer.s(1) { n%d++ }\nprobe prometheus { printf(\"n %%d\\n\", n%d) }\n",
			i,
			i,
			i,
		)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("idle%d.stp", i)), text, 0o600); err != nil {
			return nil, err
		}
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(b.scratch, fmt.Sprintf("idle%d.log", scripts)))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	began := time.Now()
	c, err := start(
		ctx,
		"stap-exporter",
		"",
		log,
		log,
		b.exporter,
		"-s",
		dir,
		"--scripts.allow-insecure",
		"--script.runtime=bpf",
		"--web.listen-address="+address,
		"--cache.dir="+filepath.Join(b.scratch, fmt.Sprintf("cache%d", scripts)),
		"--log.level=warn",
	)
	if err != nil {
		return nil, err
	}
	c.address = address
	if err := c.waitFor(ctx, "/sd", time.Minute); err != nil {
		c.stop()
		return nil, err
	}
	c.startTime = time.Since(began)
	return c, nil
}

// begin measures how long a start with many scripts takes.
func (b *bench) startTimes(ctx context.Context) error {
	var results []map[string]any
	for _, scripts := range []int{1, 10, 100, manyScripts} {
		var stands, wholes []float64
		for range min(b.rounds, 3) {
			stand, err := b.startServe(ctx, "product", "product", "-scripts", strconv.Itoa(scripts))
			if err != nil {
				return err
			}
			stands = append(stands, stand.startTime.Seconds()*1000)
			stand.stop()
			whole, err := b.startIdle(ctx, scripts)
			if err != nil {
				return err
			}
			wholes = append(wholes, whole.startTime.Seconds()*1000)
			whole.stop()
		}
		results = append(
			results,
			map[string]any{
				"Scripts":             scripts,
				"StandInMilliseconds": median(stands),
				"RealMilliseconds":    median(wholes),
			},
		)
		b.note(
			fmt.Sprintf("time to start with %d scripts", scripts),
			"real exporter, until it lists them: %.0f ms; stand-in source, until all run: %.0f ms",
			median(wholes),
			median(stands),
		)
	}
	return b.write("start", results)
}
