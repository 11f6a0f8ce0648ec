package doctor

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"stap-exporter/internal/runner"
	"stap-exporter/internal/script"
	"stap-exporter/internal/toolchain"
)

// works is a script that needs no debuginfo and has metrics in both runtimes.
const works = `global a
probe begin { a[1] = 1 }
probe timer.s(1000) { a[1]++ }
probe prometheus { @prometheus_dump_array1(a, "works", "x") }
`

// runtimes runs a script under each runtime.
func (d *diagnosis) runtimes() {
	d.cfg.Runtime = toolchain.BPF // or kernel: it only must not be probed in the background
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
		case err != nil:
			d.add(Finding{Check: check, Detail: err.Error(), Remedy: "name another directory with --cache.dir"})
		case runtime == toolchain.Kernel && missing != "":
			d.add(Finding{
				Check:  check,
				Detail: "do not work here: they need " + missing,
				Remedy: "see the checks above; scripts run under bpf where that works",
			})
		default:
			d.try(host, check, runtime)
		}
	}
}

// try runs a script under runtime and reads its metrics.
func (d *diagnosis) try(h *runner.Host, check string, runtime toolchain.Runtime) {
	path := filepath.Join(d.cfg.Dir, "works.stp")
	if err := os.WriteFile(path, []byte(works), 0o600); err != nil {
		d.add(Finding{Check: check, Detail: err.Error(), Remedy: "name another directory with --cache.dir"})
		return
	}
	begun := time.Now()
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
			d.add(findingOf(check, e.Exit, body, readErr, time.Since(begun)))
			return
		}
	}
}

// findingOf turns the end of a try into a finding.
func findingOf(check string, e runner.Exit, body []byte, readErr error, took time.Duration) Finding {
	f := Finding{Check: check, Remedy: e.Remedy}
	switch {
	case !e.Ready:
		f.Detail = "a script does not run: " + strings.Join(strings.Split(e.Reason(), "\n"), "; ")
	case readErr != nil:
		f.Detail = "a script runs, but its metrics cannot be read: " + readErr.Error()
	case string(body) != "works{x=\"1\"} 1\n":
		f.Detail = fmt.Sprintf("a script's metrics are not what it gave: %q", body)
	case len(e.Residue) > 0:
		f.Detail = "a script was run, but left behind: " + strings.Join(e.Residue, ", ")
	default:
		f.OK, f.Detail = true, fmt.Sprintf(
			"work: a script was compiled, run and read in %v",
			took.Round(10*time.Millisecond),
		)
	}
	if !f.OK && f.Remedy == "" {
		f.Remedy = "see the message; stap-report gathers what SystemTap's own developers ask for"
	}
	return f
}
