package doctor

import (
	"cmp"

	"stap-exporter/internal/runner"
	"stap-exporter/internal/toolchain"
)

// Finding is one line of a diagnosis.
type Finding struct {
	Check  string `json:"check"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`           // what was found
	Remedy string `json:"remedy,omitempty"` // what to do about it, unless OK
}

// The checks that say whether a runtime works: a script was compiled, run and
// read.
const (
	CheckKernel = "kernel modules"
	CheckBPF    = "bpf"
)

// Diagnose reports what this host can and cannot do for scripts. It runs a
// script under each runtime, in cfg.Dir, which no other Host may use; that
// takes
// as long as compiling a kernel module. cfg.Runtime is ignored.
func Diagnose(cfg runner.Config) []Finding {
	sys, err := toolchain.ThisSystem()
	if err != nil {
		return []Finding{{Check: "kernel", Detail: err.Error()}}
	}
	cfg.Stap = cmp.Or(cfg.Stap, "stap")
	tools, err := toolchain.Find(cfg.Stap)
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

type diagnosis struct {
	cfg      runner.Config
	system   toolchain.System
	tools    toolchain.Tools
	findings []Finding
}

func (d *diagnosis) add(f Finding) {
	if f.OK {
		f.Remedy = ""
	}
	d.findings = append(d.findings, f)
}
