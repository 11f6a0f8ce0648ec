package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"stap-exporter/bench/scrape"
	"stap-exporter/internal/instance"
	"stap-exporter/internal/procfile"
)

// realScript is the one that is measured.
const realScript = "example.stp"

const realPath = "/" + realScript

// startTimeout is how long a script may take to run for the first time.
const startTimeout = 2 * time.Minute

// startReal starts the real exporter on the script, under bpf, and waits for
// its first metrics.
func (b *bench) startReal(ctx context.Context) (*child, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	cache := filepath.Join(b.scratch, "cache")
	log, err := os.Create(filepath.Join(b.scratch, "exporter.log"))
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
		b.scripts,
		"--scripts.allow-insecure",
		"--script.runtime=bpf",
		"--web.listen-address="+address,
		"--cache.dir="+cache,
		"--log.level=warn",
	)
	if err != nil {
		return nil, err
	}
	c.address = address
	if err := b.makeReads(ctx); err != nil {
		c.stop()
		return nil, err
	}
	if err := c.waitFor(ctx, realPath, startTimeout); err != nil {
		c.stop()
		return nil, err
	}
	c.startTime = time.Since(began)
	return c, b.makeReads(ctx)
}

// fill lets some short programs read, so that the script has something to tell:
// a line for each.
func (b *bench) makeReads(ctx context.Context) error {
	for range 60 {
		if err := exec.CommandContext(ctx, "cat", "/proc/self/comm").Run(); err != nil {
			return err
		}
	}
	return nil
}

// real holds the real exporter on a real bpf script against a bare handler of
// the same bytes, and against the existing exporter.
func (b *bench) real(ctx context.Context) error {
	product, err := b.startReal(ctx)
	if err != nil {
		return err
	}
	defer product.stop()
	var all []sideResult
	for _, gzip := range []bool{false, true} {
		var headers []string
		form := "plain"
		if gzip {
			headers, form = []string{gzipHeader}, "gzip"
		}
		results, err := b.realRounds(ctx, product, headers)
		if err != nil {
			return err
		}
		what := fmt.Sprintf("bpf, %s of %s, %s", kilobytes(results[0].Size), realScript, form)
		b.printSides(what, results)
		b.goal(
			"saturated, "+what+": requests/s of the bare handler's",
			"at least 0.8",
			results[1].Ratio >= 0.8,
			"%.2f (%.2f to %.2f); %.0f against %.0f requests/s",
			results[1].Ratio,
			results[1].LowRatio,
			results[1].HighRatio,
			results[1].Rate,
			results[0].Rate,
		)
		for i := range results {
			results[i].Gzip = gzip
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

// realRounds compares in turns. The bare handler gets the text of the moment in
// each round, since the script's grows.
func (b *bench) realRounds(ctx context.Context, product *child, headers []string) ([]sideResult, error) {
	file := filepath.Join(b.scratch, "text")
	bare, whole := sideResult{Name: "bare"}, sideResult{Name: "product"}
	var ratios []float64
	for range b.rounds {
		text, err := get(ctx, "http://"+product.address+realPath)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return nil, err
		}
		other, err := b.startServe(ctx, "bare", "bare", "-text", file)
		if err != nil {
			return nil, err
		}
		first, err := b.wrk(ctx, other, path, connections, b.slice, headers...)
		other.stop()
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
		ratios = append(ratios, second.Rate/first.Rate)
	}
	for _, c := range []*sideResult{&bare, &whole} {
		var rates, cpus []float64
		for _, t := range c.Rounds {
			rates, cpus = append(rates, t.Rate), append(cpus, t.CPU)
		}
		c.Rate, c.CPU, c.Connections, c.Ratio, c.LowRatio, c.HighRatio = median(
			rates,
		), median(
			cpus,
		), connections, 1, 1, 1
	}
	whole.Ratio, whole.LowRatio, whole.HighRatio = median(ratios), slices.Min(ratios), slices.Max(ratios)
	return []sideResult{bare, whole}, nil
}

// againstPython lets the existing exporter run the same script beside, and both
// take turns. It closes its connections, so it is also loaded by clients that
// look at its bodies.
func (b *bench) againstPython(ctx context.Context, product *child) ([]sideResult, error) {
	python, err := b.startPython(ctx)
	if err != nil {
		return nil, err
	}
	defer python.stop()
	var turns [2][]float64
	for range b.rounds {
		for i, c := range []*child{python, product} {
			s, err := b.wrk(ctx, c, realPath, connections, b.slice)
			if err != nil {
				return nil, err
			}
			turns[i] = append(turns[i], s.Rate)
		}
	}
	var ratios []float64
	for i := range turns[0] {
		ratios = append(ratios, turns[1][i]/turns[0][i])
	}
	ratio := median(ratios)
	b.goal(
		"saturated, bpf: requests/s of the Python exporter's",
		"at least 30",
		ratio >= 30,
		"%.0f (%.0f to %.0f), its empty replies counted; %.0f against %.0f requests/s",
		ratio,
		slices.Min(ratios),
		slices.Max(ratios),
		median(turns[1]),
		median(turns[0]),
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
	return []sideResult{{Name: "python", Rate: median(turns[0]), Ratio: 1}, {
		Name:      "product beside python",
		Rate:      median(turns[1]),
		Ratio:     ratio,
		LowRatio:  slices.Min(ratios),
		HighRatio: slices.Max(ratios),
	}}, nil
}

// startPython starts the existing exporter on a wrapper of the script, which is
// how it takes scripts.
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
	target, err := filepath.Abs(filepath.Join(b.scripts, realScript))
	if err != nil {
		return nil, err
	}
	release := ""
	if trees, _ := filepath.Glob(filepath.Join(b.scratch, "cache", "*", "bpf-tree", "*")); len(trees) > 0 {
		// made by the product, where the kernel has none
		release = "export SYSTEMTAP_RELEASE=" + trees[0] + "\n"
	}
	wrapper := "#!/bin/sh\n" + release + "exec stap --bpf " + target + " \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, realScript), []byte(wrapper), 0o700); err != nil {
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
	// Through the exporter's launcher, which gets stapbpf past a memory lock
	// limit that it may not raise.
	launcher, err := filepath.Abs(b.exporter)
	if err != nil {
		return nil, err
	}
	c, err := start(
		ctx,
		"python",
		dir,
		log,
		log,
		launcher,
		"__launch",
		"leave-sigpipe",
		interpreter,
		b.python,
		"-p",
		port,
		"-s",
		dir,
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

// fifo is the file of the script of a real exporter.
func (b *bench) fifo(c *child) (procfile.File, error) {
	dir, err := filepath.Abs(b.scripts)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return procfile.File{}, err
	}
	return procfile.DefaultRoots().
		Find(instance.New(os.Geteuid(), dir, []string{c.address}).Module(realScript), false)
}
