package runner

import (
	"time"

	"go.uber.org/zap"

	"stap-exporter/internal/cpulimit"
	"stap-exporter/internal/procfile"
	"stap-exporter/internal/toolchain"
)

// Config says how a Host works. Durations and paths left zero get their
// defaults.
type Config struct {
	Stap    string            // name or path of stap; default "stap", looked up in PATH
	Runtime toolchain.Runtime // for scripts that the exporter runs itself
	Dir     string            // private folder, made 0700 when missing
	Roots   procfile.Roots    // where running scripts offer their files

	// Launcher is the command line that re-executes this program so that it
	// calls Launch with the arguments that follow.
	// Empty: children are started directly, without the memory-lock filter, and
	// SIGPIPE can kill a stapbpf whose reader leaves early.
	Launcher []string

	// Guardian is the command line that re-executes this program so that it
	// calls Guard.
	// Empty: what this process leaves when it is killed stays, until a Host of
	// the same Dir is made again.
	Guardian []string

	// Subreaper makes orphans of the children come to this process, which reaps
	// them. Only for a program in which nobody but this package starts
	// processes.
	Subreaper bool

	// ModulePrefix is what the names of this exporter's modules begin with and
	// those of no other do, so that NewHost can remove what an earlier one
	// left. Empty: it knows them by their work directories only.
	ModulePrefix string

	// AllowInsecure: start scripts that other users than root and this one can
	// change, with a SystemTap that they can change, too.
	AllowInsecure bool

	// at most so many runs compile and load at a time; default the number of
	// processors, at least 2
	MaxParallel  int
	StartTimeout time.Duration // from a run's turn to the procfs file being there; default 5 min
	// at most this long a stop waits for the reader to let go; default 2 s
	AfterWait time.Duration
	// at most this long a stop waits for a loading script to be up; default 5 s
	LoadWait    time.Duration
	TermGrace   time.Duration // between TERM and KILL; default 5 s
	KillGrace   time.Duration // how long after KILL a process counts as left behind; default 5 s
	CleanupWait time.Duration // how long unloading a leftover module is tried again; default 5 s

	// compiled kernel modules are in its folder "modules", which exporters of
	// one user may share; default Dir
	CacheDir    string
	CacheSize   int64  // bytes that they may have; default 256 MiB
	StapRuntime string // stap's runtime folder for kernel modules (-R); default: stap's own
	Precompile  bool   // let Host.Precompile do its work

	Logger *zap.Logger // default: none
}

func (c Config) withDefaults() Config {
	setDefault(&c.Stap, "stap")
	setDefault(&c.Roots, procfile.DefaultRoots())
	setDefault(&c.MaxParallel, max(2, cpulimit.CPUs()))
	setDefault(&c.StartTimeout, 5*time.Minute)
	setDefault(&c.AfterWait, 2*time.Second)
	setDefault(&c.LoadWait, 5*time.Second)
	setDefault(&c.TermGrace, 5*time.Second)
	setDefault(&c.KillGrace, 5*time.Second)
	setDefault(&c.CleanupWait, 5*time.Second)
	setDefault(&c.CacheDir, c.Dir)
	setDefault(&c.CacheSize, 256<<20)
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	return c
}

func setDefault[T comparable](p *T, value T) {
	var zero T
	if *p == zero {
		*p = value
	}
}
