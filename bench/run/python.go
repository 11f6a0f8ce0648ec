package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"stap-exporter/bench/scrape"
)

// againstPython compares the exporter with the Python exporter, which runs the
// same script at the same time. That exporter closes its connections after each
// reply, so its replies are also checked with clients that open new ones.
func (b *bench) againstPython(ctx context.Context, product *child) ([]sideResult, error) {
	python, err := b.startPython(ctx)
	if err != nil {
		return nil, err
	}
	defer python.stop()
	var rates [2][]float64
	for range b.rounds {
		for i, c := range []*child{python, product} {
			s, err := b.wrk(ctx, c, realPath, connections, b.slice)
			if err != nil {
				return nil, err
			}
			rates[i] = append(rates[i], s.Rate)
		}
	}
	var ratios []float64
	for i := range rates[0] {
		ratios = append(ratios, rates[1][i]/rates[0][i])
	}
	ratio := median(ratios)
	b.goal(
		"saturated, bpf: requests/s relative to the Python exporter", "at least 30", ratio >= 30,
		"%.0f (%.0f to %.0f), with its empty replies; %.0f against %.0f requests/s",
		ratio, slices.Min(ratios), slices.Max(ratios), median(rates[1]), median(rates[0]),
	)
	r, err := scrape.Closed(ctx, scrape.Config{
		Address:  python.address,
		Paths:    []string{realPath},
		Replicas: 16,
		Fresh:    1,
		Duration: 2 * b.slice,
		Checks:   scrape.Checks{Counters: true},
	})
	if err != nil {
		return nil, err
	}
	b.note("wrong bodies of the Python exporter, 16 clients", "%d of %d: %v", r.Wrong, r.Replies, r.Kinds)
	return []sideResult{{Name: "python", Rate: median(rates[0]), Ratio: 1}, {
		Name:      "product beside python",
		Rate:      median(rates[1]),
		Ratio:     ratio,
		LowRatio:  slices.Min(ratios),
		HighRatio: slices.Max(ratios),
	}}, nil
}

// startPython starts the Python exporter with a wrapper of the script, the only
// kind of script that it runs.
func (b *bench) startPython(ctx context.Context) (*child, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(b.scratch, "python")
	if err != nil {
		return nil, err
	}
	if err := b.writeWrapper(filepath.Join(dir, realScript)); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(b.scratch, "python.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	interpreter, err := exec.LookPath("python3")
	if err != nil {
		return nil, err
	}
	// The exporter's launcher lets stapbpf run where it must not raise the
	// limit of locked memory.
	launcher, err := filepath.Abs(b.exporter)
	if err != nil {
		return nil, err
	}
	c, err := start(
		ctx, "python", dir, log, log,
		launcher, "__launch", "leave-sigpipe", interpreter, b.python, "-p", port, "-s", dir,
	)
	if err != nil {
		return nil, err
	}
	c.address, c.leavesChildren = address, true
	if err := c.waitFor(ctx, realPath, startTimeout); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

// writeWrapper writes a shell script that runs the real script with stap.
func (b *bench) writeWrapper(file string) error {
	target, err := filepath.Abs(filepath.Join(b.scripts, realScript))
	if err != nil {
		return err
	}
	release := ""
	// The build tree that the exporter made, where the kernel has none.
	if trees, _ := filepath.Glob(filepath.Join(b.scratch, "cache*", "*", "bpf-tree", "*")); len(trees) > 0 {
		release = "export SYSTEMTAP_RELEASE=" + trees[0] + "\n"
	}
	text := fmt.Sprintf("#!/bin/sh\n%sexec stap --bpf %s \"$@\"\n", release, target)
	return os.WriteFile(file, []byte(text), 0o700)
}
