package toolchain

import (
	"fmt"
	"io/fs"
	"slices"

	"stap-exporter/internal/script"
)

// Stage says where in its life a run was when it ended.
type Stage string

// The stages as Exit reports them. StageStart is an executable script before
// its procfs file is there: whether it compiles or loads, only it knows.
const (
	StageStart   Stage = "start"
	StageCompile Stage = "compile"
	StageLoad    Stage = "load"
	StageRun     Stage = "run"
)

// ModuleSuffix is the extension of a compiled kernel module.
const ModuleSuffix = ".ko"

// Step is one process of a run. All but the last must end with exit code 0
// before the next begins.
type Step struct {
	Stage  Stage    // what it is doing until its procfs file is there
	Argv   []string // argv[0] is an absolute path
	Offers bool     // the procfs file appears while it runs
}

// Build is what a kernel module is compiled from, as far as the command line
// tells.
type Build struct {
	Script  string   // its path
	Module  string   // the module's name
	Args    []string // stap's arguments, but for the script
	NoReuse string   // why the module is good for this start only; empty: it may be cached
}

// Plan is everything that a run will do, before any of it is done.
type Plan struct {
	Steps  []Step
	Direct bool   // the FIFO's writer is our own child, with SIGPIPE ignored
	Build  *Build // nil but for a kernel module, whose two stages are to compile and to load it
}

// Plan is the one place where command lines are made. tree is the build
// tree for bpf where the kernel has none of its own, else empty; runtime is not
// Auto.
func (t Tools) Plan(s script.Script, runtime Runtime, tree string) (Plan, error) {
	switch {
	case s.Executable:
		// Wrappers pass "$@" on to stap; "-m MODULE" is all they get. stap runs
		// stapbpf as its own child, so the memory lock has to be seen to
		// before.
		argv := t.launch(LeaveSIGPIPE, s.Path, "-m", s.Module)
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

// KernelModule compiles from, the end of stap's command line, to MODULE.ko in
// the work folder, and loads that.
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

// launch puts the launcher before a command line, where there is one.
func (t Tools) launch(mode string, argv ...string) []string {
	if len(t.Launcher) == 0 {
		return argv
	}
	all := append([]string{}, t.Launcher...)
	return append(append(all, mode), argv...)
}
