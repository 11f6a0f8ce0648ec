package stap

import (
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"stap-exporter/internal/procfs"
)

// ErrNoStap tells that SystemTap, or the part of it that was asked for, is not installed.
var ErrNoStap = errors.New("systemtap is not installed")

// Runtime is how SystemTap runs a script: as a kernel module or as bpf programs.
type Runtime uint8

// The runtimes. Auto means kernel modules where a trial has shown that they work, bpf otherwise and until then.
const (
	Auto Runtime = iota
	Kernel
	BPF
)

// String returns the name as the --runtime flag takes it.
func (r Runtime) String() string {
	switch r {
	case Auto:
		return "auto"
	case Kernel:
		return "kernel"
	case BPF:
		return "bpf"
	default:
		return "unknown"
	}
}

// ParseRuntime reads a --runtime flag.
func ParseRuntime(s string) (Runtime, error) {
	for _, r := range []Runtime{Auto, Kernel, BPF} {
		if s == r.String() {
			return r, nil
		}
	}
	return Auto, fmt.Errorf("parse runtime %q: want auto, kernel or bpf", s)
}

// Config says how a Host works. Durations and paths left zero get their defaults.
type Config struct {
	Stap    string       // name or path of stap; default "stap", looked up in PATH
	Runtime Runtime      // for scripts that the exporter runs itself
	Dir     string       // private folder, made 0700 when missing
	Roots   procfs.Roots // where running scripts offer their files

	// Launcher is the command line that re-executes this program so that it calls Launch with the arguments that follow.
	// Empty: children are started directly, without the memory-lock filter, and SIGPIPE can kill a stapbpf whose reader leaves early.
	Launcher []string

	StartTimeout time.Duration // from Start to the procfs file being there; default 5 min
	AfterWait    time.Duration // at most this long a stop waits for the reader to let go; default 2 s
	LoadWait     time.Duration // at most this long a stop waits for a loading script to be up; default 5 s
	TermGrace    time.Duration // between TERM and KILL; default 5 s
	KillGrace    time.Duration // how long after KILL a process counts as left behind; default 5 s
	SweepWait    time.Duration // how long unloading a leftover module is tried again; default 5 s

	Modules string // the kernel's list of loaded modules; default /proc/modules

	Logger *zap.Logger // default: none
}

func (c Config) withDefaults() Config {
	setDefault(&c.Stap, "stap")
	setDefault(&c.Roots, procfs.DefaultRoots())
	setDefault(&c.StartTimeout, 5*time.Minute)
	setDefault(&c.AfterWait, 2*time.Second)
	setDefault(&c.LoadWait, 5*time.Second)
	setDefault(&c.TermGrace, 5*time.Second)
	setDefault(&c.KillGrace, 5*time.Second)
	setDefault(&c.SweepWait, 5*time.Second)
	setDefault(&c.Modules, "/proc/modules")
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
