package runner

import (
	"time"

	"go.uber.org/zap"

	"stap-exporter/internal/cpulimit"
	"stap-exporter/internal/procfile"
	"stap-exporter/internal/toolchain"
)

// Config is the configuration of a Host. Durations, sizes and paths that are
// zero get their defaults.
type Config struct {
	Stap    string            // name or path of stap; default "stap", found in PATH
	Runtime toolchain.Runtime // of scripts that choose none
	Dir     string            // private directory, made with mode 0700 when missing
	Roots   procfile.Roots    // where running scripts offer their files

	// Launcher is the command line that re-executes this program so that it
	// calls Launch with the arguments that follow. Empty: children are started
	// directly, without the memory-lock filter, and SIGPIPE can kill a stapbpf
	// whose reader closes the file early.
	Launcher []string

	// Guardian is the command line that re-executes this program so that it
	// calls guardian.Run. Empty: what this process leaves when it is killed
	// stays until another Host with the same Dir is made.
	Guardian []string

	// Subreaper makes orphans of the children come to this process, which reaps
	// them. Only for a program in which no other package starts processes.
	Subreaper bool

	// ModulePrefix is what the names of this exporter's modules begin with, and
	// those of no other exporter, so that NewHost can remove what an earlier
	// one left. Empty: only work directories and run tags show it.
	ModulePrefix string

	// AllowInsecure starts scripts that users other than root and this one can
	// change, with a SystemTap that they can change, too.
	AllowInsecure bool

	MaxParallel  int           // slots of the start queue; default the number of CPUs, at least 2
	StartTimeout time.Duration // from the granted slot to the procfs file; default 5 min
	AfterWait    time.Duration // how long a stop waits for the reader of the file; default 2 s
	LoadWait     time.Duration // how long a stop waits for a script that is loading; default 5 s
	TermGrace    time.Duration // between TERM and KILL; default 5 s
	KillGrace    time.Duration // how long after KILL a process counts as residue; default 5 s
	CleanupWait  time.Duration // how long unloading a module is tried again; default 5 s

	// CacheDir has the compiled kernel modules in its directory "modules",
	// which exporters of one user may share; default Dir.
	CacheDir    string
	CacheSize   int64  // bytes of all compiled modules; default 256 MiB
	StapRuntime string // stap's runtime directory for kernel modules (-R); default stap's own
	Precompile  bool   // whether Host.Precompile compiles

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
