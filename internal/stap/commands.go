package stap

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

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

// stage is one process of a run. All but the last must end with exit code 0
// before the next begins.
type stage struct {
	name   Stage    // what it is doing until its procfs file is there
	argv   []string // argv[0] is an absolute path
	offers bool     // the procfs file appears while it runs
}

// plan is everything that a run will do, before any of it is done.
type plan struct {
	stages []stage
	direct bool   // the FIFO's writer is our own child, with SIGPIPE ignored
	build  *build // nil but for a kernel module, whose two stages are to compile and to load it
}

// tools are the absolute paths of SystemTap's programs; empty where one is
// missing.
type tools struct {
	stap          string
	staprun       string
	staprunDenied string // where staprun is, when this user may not execute it
	stapbpfDenied string
	stapbpf       string
	launcher      []string
	runtime       string // folder for stap -R; empty: stap's own
}

// commands is the one place where command lines are made. tree is the build
// tree for bpf where the kernel has none of its own, else empty; runtime is not
// Auto.
func commands(t tools, s script.Script, runtime Runtime, tree string) (plan, error) {
	switch {
	case s.Executable:
		// Wrappers pass "$@" on to stap; "-m MODULE" is all they get. stap runs
		// stapbpf as its own child, so the memory lock has to be seen to
		// before.
		argv := t.launch(launchLeaveSIGPIPE, s.Path, "-m", s.Module)
		return plan{stages: []stage{{name: StageStart, argv: argv, offers: true}}}, nil
	case runtime == Kernel:
		if t.staprunDenied != "" {
			return plan{}, fmt.Errorf("run %s: %w", t.staprunDenied, fs.ErrPermission)
		}
		if t.staprun == "" {
			return plan{}, fmt.Errorf("find staprun beside %s or in PATH: %w", t.stap, ErrNoStap)
		}
		return t.kernelModule(s.Module, s.Options, s.Path), nil
	default:
		if t.stapbpfDenied != "" {
			return plan{}, fmt.Errorf("run %s: %w", t.stapbpfDenied, fs.ErrPermission)
		}
		if t.stapbpf == "" {
			return plan{}, fmt.Errorf("find stapbpf beside %s or in PATH: %w", t.stap, ErrNoStap)
		}
		compile := []string{t.stap, "-v", "--bpf", "-p4", "-m", s.Module}
		if tree != "" {
			compile = append(compile, "-r", tree)
		}
		load := append(slices.Concat([]string{t.stapbpf}, s.Options.Stapbpf), s.Module+".bo")
		return plan{
			stages: []stage{
				{name: StageCompile, argv: append(slices.Concat(compile, s.Options.Stap), s.Path)},
				{name: StageLoad, argv: t.launch(launchIgnoreSIGPIPE, load...), offers: true},
			},
			direct: len(t.launcher) > 0,
		}, nil
	}
}

// kernelModule compiles from, the end of stap's command line, to MODULE.ko in
// the work folder, and loads that.
func (t tools) kernelModule(module string, o script.Options, from ...string) plan {
	args := []string{"-v", "-p4", "-m", module}
	if t.runtime != "" {
		args = append(args, "-R", t.runtime)
	}
	args = append(args, o.Stap...)
	load := append(slices.Concat([]string{t.staprun}, o.Staprun), module+extModule)
	return plan{
		stages: []stage{
			{name: StageCompile, argv: slices.Concat([]string{t.stap}, args, from)},
			{name: StageLoad, argv: append(load, o.ModuleArgs...), offers: true},
		},
		build: &build{source: source{path: from[len(from)-1], module: module, args: args}, once: o.NoReuse},
	}
}

// launch puts the launcher before a command line, where there is one.
func (t tools) launch(mode string, argv ...string) []string {
	if len(t.launcher) == 0 {
		return argv
	}
	all := append([]string{}, t.launcher...)
	return append(append(all, mode), argv...)
}

// environment is what children get: this process's own, with stap's messages
// untranslated (their text is parsed), its temporary files in tmp, and, where
// tree is not empty, that build tree as the kernel's. stap(1) names
// SYSTEMTAP_RELEASE as the same as -r, so bpf wrappers work without headers
// too; a value of the user's own is kept.
func environment(base []string, tmp, tree string) []string {
	env := make([]string, 0, len(base)+3)
	for _, kv := range base {
		switch name, _, _ := strings.Cut(kv, "="); name {
		case "LC_ALL", "LANGUAGE", "TMPDIR":
			continue
		case "SYSTEMTAP_RELEASE":
			tree = ""
		}
		env = append(env, kv)
	}
	env = append(env, "LC_ALL=C.UTF-8", "TMPDIR="+tmp)
	if tree != "" {
		env = append(env, "SYSTEMTAP_RELEASE="+tree)
	}
	return env
}
