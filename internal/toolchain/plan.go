package toolchain

import (
	"fmt"
	"io/fs"
	"slices"

	"stap-exporter/internal/script"
)

// Stage is a part of a run's life.
type Stage string

// The stages in their order. StageStart is also the stage of an executable
// script until its procfs file exists: whether it compiles or loads is not
// visible from outside.
const (
	StageStart   Stage = "start"
	StageCompile Stage = "compile"
	StageLoad    Stage = "load"
	StageRun     Stage = "run"
)

// ModuleSuffix is the extension of a compiled kernel module.
const ModuleSuffix = ".ko"

// Step is one process of a run. Every step but the last must end with exit code
// 0 before the next one starts.
type Step struct {
	Stage  Stage    // of the run until the procfs file exists
	Argv   []string // Argv[0] is an absolute path
	Offers bool     // the procfs file appears while it runs
}

// Build is the specification of a kernel module: what stap's command line says
// about it.
type Build struct {
	Script  string   // path
	Module  string   // name
	Args    []string // of stap, without the script
	NoReuse string   // why the module must not be cached; empty: it may be
}

// Plan is everything that a run will do.
type Plan struct {
	Steps  []Step
	Direct bool   // the FIFO's writer is the exporter's own child, with SIGPIPE ignored
	Build  *Build // only of a kernel module; the two steps then compile and load it
}

// Plan returns the plan for a start of s. Every command line of a run is made
// here. runtime must not be Auto. tree is the build tree for bpf, or empty when
// the kernel has one of its own. The error is ErrNoStap or fs.ErrPermission
// when the executable that loads the module cannot be used.
func (t Tools) Plan(s script.Script, runtime Runtime, tree string) (Plan, error) {
	switch {
	case s.Executable:
		// An executable script passes its arguments, only "-m MODULE", on to
		// stap. stap may run stapbpf, so the launcher prepares the memory-lock
		// limit here too.
		argv := t.launch(leaveSIGPIPE, s.Path, "-m", s.Module)
		return Plan{Steps: []Step{{Stage: StageStart, Argv: argv, Offers: true}}}, nil
	case runtime == Kernel:
		if t.StaprunDenied != "" {
			return Plan{}, fmt.Errorf("run %s: %w", t.StaprunDenied, fs.ErrPermission)
		}
		if t.Staprun == "" {
			return Plan{}, fmt.Errorf("find staprun beside %s or in PATH: %w", t.Stap, ErrNoStap)
		}
		return t.KernelModule(s.Module, s.Options, s.Path), nil
	default:
		if t.StapbpfDenied != "" {
			return Plan{}, fmt.Errorf("run %s: %w", t.StapbpfDenied, fs.ErrPermission)
		}
		if t.Stapbpf == "" {
			return Plan{}, fmt.Errorf("find stapbpf beside %s or in PATH: %w", t.Stap, ErrNoStap)
		}
		compile := []string{t.Stap, "-v", "--bpf", "-p4", "-m", s.Module}
		if tree != "" {
			compile = append(compile, "-r", tree)
		}
		load := append(slices.Concat([]string{t.Stapbpf}, s.Options.Stapbpf), s.Module+".bo")
		return Plan{
			Steps: []Step{
				{Stage: StageCompile, Argv: append(slices.Concat(compile, s.Options.Stap), s.Path)},
				{Stage: StageLoad, Argv: t.launch(IgnoreSIGPIPE, load...), Offers: true},
			},
			Direct: len(t.Launcher) > 0,
		}, nil
	}
}

// KernelModule returns the plan that compiles a kernel module into MODULE.ko in
// the work directory and loads it. from is the end of stap's command line: the
// script's path, or "-e" and its text.
func (t Tools) KernelModule(module string, o script.Options, from ...string) Plan {
	args := []string{"-v", "-p4", "-m", module}
	if t.RuntimeDir != "" {
		args = append(args, "-R", t.RuntimeDir)
	}
	args = append(args, o.Stap...)
	load := append(slices.Concat([]string{t.Staprun}, o.Staprun), module+ModuleSuffix)
	return Plan{
		Steps: []Step{
			{Stage: StageCompile, Argv: slices.Concat([]string{t.Stap}, args, from)},
			{Stage: StageLoad, Argv: append(load, o.ModuleArgs...), Offers: true},
		},
		Build: &Build{
			Script:  from[len(from)-1],
			Module:  module,
			Args:    args,
			NoReuse: o.NoReuse,
		},
	}
}

// launch puts the launcher, if there is one, before a command line.
func (t Tools) launch(mode string, argv ...string) []string {
	if len(t.Launcher) == 0 {
		return argv
	}
	all := append([]string{}, t.Launcher...)
	return append(append(all, mode), argv...)
}
