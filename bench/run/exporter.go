package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"stap-exporter/internal/instance"
	"stap-exporter/internal/procfile"
)

// realScript is the script that the real exporter runs under bpf.
const realScript = "example.stp"

const realPath = "/" + realScript

// startTimeout is how long a script may take to start for the first time.
const startTimeout = 2 * time.Minute

// renamed are the old spellings of flags. An older exporter, which the part
// compare runs, has these.
var renamed = map[string]string{
	"--script.max-parallel-starts": "--start.max-parallel",
	"--script.runtime":             "--runtime",
}

// spelling returns the name of a flag as the exporter program knows it.
func spelling(ctx context.Context, program string) (func(name string) string, error) {
	help, err := exec.CommandContext(ctx, program, "--help").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("run %s --help: %w", program, err)
	}
	return func(name string) string {
		if old := renamed[name]; old != "" && !bytes.Contains(help, []byte(name)) {
			return old
		}
		return name
	}, nil
}

// startExporter starts an exporter with the scripts in dir. ready returns when
// it can be measured.
func (b *bench) startExporter(
	ctx context.Context,
	program, dir string,
	ready func(context.Context, *child) error,
) (*child, error) {
	flag, err := spelling(ctx, program)
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	cache, err := os.MkdirTemp(b.scratch, "cache")
	if err != nil {
		return nil, err
	}
	var log bytes.Buffer
	began := time.Now()
	c, err := start(
		ctx, filepath.Base(program), "", nil, &log, program,
		"-s", dir,
		"--scripts.allow-insecure",
		flag("--script.runtime")+"=bpf",
		flag("--script.max-parallel-starts")+"=8",
		"--web.listen-address="+address,
		"--cache.dir="+cache,
		"--log.level=warn",
	)
	if err != nil {
		return nil, err
	}
	c.address = address
	if err := ready(ctx, c); err != nil {
		c.stop()
		return nil, fmt.Errorf("start %s: %w\n%s", program, err, &log)
	}
	c.startTime = time.Since(began)
	return c, nil
}

// startReal starts an exporter with the real script under bpf, and waits for
// its first metrics.
func (b *bench) startReal(ctx context.Context, program string) (*child, error) {
	return b.startExporter(ctx, program, b.scripts, func(ctx context.Context, c *child) error {
		if err := makeReads(ctx); err != nil {
			return err
		}
		if err := c.waitFor(ctx, realPath, startTimeout); err != nil {
			return err
		}
		return makeReads(ctx)
	})
}

// makeReads runs short programs that read, each of which adds a line to the
// real script's metrics.
func makeReads(ctx context.Context) error {
	for range 60 {
		if err := exec.CommandContext(ctx, "cat", "/proc/self/comm").Run(); err != nil {
			return err
		}
	}
	return nil
}

// fifo returns the procfs file of the real script of an exporter.
func (b *bench) fifo(c *child) (procfile.File, error) {
	dir, err := filepath.Abs(b.scripts)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return procfile.File{}, err
	}
	module := instance.New(os.Geteuid(), dir, []string{c.address}).Module(realScript)
	return procfile.DefaultRoots().Find(module, false)
}
