package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

const (
	idleScripts = 100
	idleTime    = 20 * time.Second
)

// idleResult is a server without requests.
type idleResult struct {
	Name          string
	Scripts       int
	Megabytes     float64 // Pss
	Resident      int64   // bytes
	PercentOfCore float64
}

// idle measures memory and CPU time without requests, of the product with
// running stand-in scripts and of the exporter with scripts that never ran.
func (b *bench) idle(ctx context.Context) error {
	standIn, err := b.startServe(ctx, "product", "product", "-scripts", strconv.Itoa(idleScripts))
	if err != nil {
		return err
	}
	defer standIn.stop()
	whole, err := b.startIdle(ctx, idleScripts)
	if err != nil {
		return err
	}
	defer whole.stop()
	children := []*child{standIn, whole}
	names := []string{"running stand-in scripts", "scripts that never ran, the exporter and its guardian"}
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
	var results []idleResult
	for i, c := range children {
		after, err := c.usage()
		if err != nil {
			return err
		}
		r := idleResult{
			Name:          names[i],
			Scripts:       idleScripts,
			Megabytes:     float64(after.proportional) / (1 << 20),
			Resident:      after.resident,
			PercentOfCore: 100 * float64(after.cpu-before[i].cpu) / float64(took),
		}
		b.goal(
			fmt.Sprintf("idle, %d scripts: %s", idleScripts, r.Name),
			"less than 40 MB and 0.5 % of a core",
			r.Megabytes < 40 && r.PercentOfCore < 0.5,
			"%.0f MB (Pss; Rss, which counts shared pages twice, %.0f), %.2f %% of a core",
			r.Megabytes, float64(r.Resident)/(1<<20), r.PercentOfCore,
		)
		results = append(results, r)
	}
	return b.write("idle", results)
}

// startIdle starts the exporter with scripts that no request ever starts.
func (b *bench) startIdle(ctx context.Context, scripts int) (*child, error) {
	const text = "global n%[1]d\nprobe timer.s(1) { n%[1]d++ }\nprobe prometheus { printf(\"n %%d\\n\", n%[1]d) }\n"
	dir, err := os.MkdirTemp(b.scratch, "scripts")
	if err != nil {
		return nil, err
	}
	for i := range scripts {
		file := filepath.Join(dir, fmt.Sprintf("idle%d.stp", i))
		if err := os.WriteFile(file, fmt.Appendf(nil, text, i), 0o600); err != nil {
			return nil, err
		}
	}
	return b.startExporter(ctx, b.exporter, dir, func(ctx context.Context, c *child) error {
		return c.waitFor(ctx, "/sd", time.Minute)
	})
}

// startTimes measures the time of a start with many scripts.
func (b *bench) startTimes(ctx context.Context) error {
	type result struct {
		Scripts                               int
		StandInMilliseconds, RealMilliseconds float64
	}
	var results []result
	for _, scripts := range []int{1, 10, 100, b.manyScripts} {
		var standIns, wholes []float64
		for range min(b.rounds, 3) {
			standIn, err := b.startServe(ctx, "product", "product", "-scripts", strconv.Itoa(scripts))
			if err != nil {
				return err
			}
			standIns = append(standIns, standIn.startTime.Seconds()*1000)
			standIn.stop()
			whole, err := b.startIdle(ctx, scripts)
			if err != nil {
				return err
			}
			wholes = append(wholes, whole.startTime.Seconds()*1000)
			whole.stop()
		}
		r := result{scripts, median(standIns), median(wholes)}
		results = append(results, r)
		b.note(
			fmt.Sprintf("time to start with %d scripts", scripts),
			"the exporter, until it lists them: %.0f ms; stand-in scripts, until all run: %.0f ms",
			r.RealMilliseconds, r.StandInMilliseconds,
		)
	}
	return b.write("start", results)
}
