package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"stap-exporter/internal/runner"
	"stap-exporter/internal/script"
	"stap-exporter/internal/toolchain"
	"stap-exporter/internal/trust"
)

// works is a script that needs no debuginfo and offers metrics under both
// runtimes.
const works = `global a
probe begin { a[1] = 1 }
probe timer.s(1000) { a[1]++ }
probe prometheus { @prometheus_dump_array1(a, "works", "x") }
`

// worksMetrics is what works offers in its first 1,000 seconds.
const worksMetrics = "works{x=\"1\"} 1\n"

const otherCacheDir = "name another directory with --cache.dir"

// runtimes runs a script under each runtime.
func (d *diagnosis) runtimes() {
	d.cfg.Runtime = toolchain.BPF // not Auto, which would probe kernel modules in the background
	if d.tools.Stapbpf == "" {
		d.cfg.Runtime = toolchain.Kernel
	}
	host, err := runner.NewHost(d.cfg)
	if err == nil {
		defer host.Close()
	}
	for _, check := range []string{CheckKernel, CheckBPF} {
		runtime := toolchain.BPF
		if check == CheckKernel {
			runtime = toolchain.Kernel
		}
		missing := d.system.Missing(d.tools.Staprun)
		switch {
		case d.tools.Stap == "":
			d.add(Finding{Check: check, Detail: "SystemTap is not installed", Remedy: installStap})
		case errors.Is(err, trust.ErrUntrusted):
			d.add(Finding{Check: check, Detail: err.Error(), Remedy: trustStap})
		case err != nil:
			d.add(Finding{Check: check, Detail: err.Error(), Remedy: otherCacheDir})
		case runtime == toolchain.Kernel && missing != "":
			d.add(Finding{
				Check:  check,
				Detail: "not available: kernel modules need " + missing,
				Remedy: "see the checks above, or run scripts under bpf",
			})
		default:
			d.runScript(host, check, runtime)
		}
	}
}

// runScript runs a script under runtime and reads its metrics once.
func (d *diagnosis) runScript(h *runner.Host, check string, runtime toolchain.Runtime) {
	path := filepath.Join(d.cfg.Dir, "works.stp")
	if err := os.WriteFile(path, []byte(works), 0o600); err != nil {
		d.add(Finding{Check: check, Detail: err.Error(), Remedy: otherCacheDir})
		return
	}
	start := time.Now()
	s := script.Script{
		Name:    "works.stp",
		Path:    path,
		Module:  fmt.Sprintf("%sdoctor_%d", cmp.Or(d.cfg.ModulePrefix, "stap_exporter_"), os.Getpid()),
		Runtime: runtime.String(),
	}
	events := make(chan runner.Event, 64)
	run := h.Start(s, 1, func(e runner.Event) {
		switch e.(type) {
		case runner.Ready, runner.Exited:
			events <- e
		}
	})
	var body []byte
	var readErr error
	for e := range events {
		switch e := e.(type) {
		case runner.Ready:
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			body, readErr = e.File.Read(ctx, nil)
			cancel()
			run.Stop(nil)
		case runner.Exited:
			d.add(findingOf(check, e.Exit, body, readErr, time.Since(start)))
			return
		}
	}
}

// findingOf returns the finding about a run that ended with e after a read that
// returned body and readErr.
func findingOf(check string, e runner.Exit, body []byte, readErr error, took time.Duration) Finding {
	f := Finding{Check: check, Remedy: e.Remedy}
	switch {
	case !e.Ready:
		f.Detail = "a script does not run: " + strings.Join(strings.Split(e.Reason(), "\n"), "; ")
	case readErr != nil:
		f.Detail = "a script runs, but its metrics cannot be read: " + readErr.Error()
	case string(body) != worksMetrics:
		f.Detail = fmt.Sprintf("a script runs, but its metrics are wrong: %q, want %q", body, worksMetrics)
	case len(e.Residue) > 0:
		f.Detail = "a script ran, but left residue: " + strings.Join(e.Residue, ", ")
	default:
		f.OK = true
		f.Detail = fmt.Sprintf("a script was compiled, run and read in %v", took.Round(10*time.Millisecond))
	}
	if !f.OK && f.Remedy == "" {
		f.Remedy = "see the message; for a bug report to SystemTap, run stap-report"
	}
	return f
}
