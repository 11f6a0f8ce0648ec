package doctor

import (
	"cmp"

	"stap-exporter/internal/runner"
	"stap-exporter/internal/toolchain"
	"stap-exporter/internal/trust"
)

// The names of the checks that report whether a runtime works. Such a check
// compiles, runs and reads a script.
const (
	CheckKernel = "kernel modules"
	CheckBPF    = "bpf"
)

// Finding is the result of one check.
type Finding struct {
	Check  string `json:"check"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`           // what was found
	Remedy string `json:"remedy,omitempty"` // what the operator can do, unless OK
}

// Diagnose reports what this machine can and cannot do for scripts. It takes as
// long as the compilation of a kernel module, because it runs a script under
// each runtime. No other runner.Host may use cfg.Dir. Diagnose ignores
// cfg.Runtime.
func Diagnose(cfg runner.Config) []Finding {
	sys, err := toolchain.ThisSystem()
	if err != nil {
		return []Finding{{Check: "kernel", Detail: err.Error()}}
	}
	cfg.Stap = cmp.Or(cfg.Stap, "stap")
	tools, err := toolchain.Find(cfg.Stap)
	if tools.RuntimeDir = cfg.StapRuntime; err == nil && !cfg.AllowInsecure {
		err = tools.CheckTrust(trust.Self())
	}
	d := diagnosis{cfg: cfg, system: sys, tools: tools}
	d.stap(err)
	d.compiler()
	d.headers()
	d.debuginfo()
	d.modules()
	d.tracing()
	d.memlock()
	d.groups()
	d.runtimes()
	return d.findings
}

// diagnosis collects findings. Each check is a method, in checks.go and
// runtimes.go.
type diagnosis struct {
	cfg      runner.Config
	system   toolchain.System
	tools    toolchain.Tools
	findings []Finding
}

// add adds a finding. One that is OK needs no remedy and loses it.
func (d *diagnosis) add(f Finding) {
	if f.OK {
		f.Remedy = ""
	}
	d.findings = append(d.findings, f)
}
