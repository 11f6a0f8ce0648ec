package toolchain

import (
	"errors"
	"fmt"
)

// ErrNoStap tells that SystemTap, or the part of it that was asked for, is not
// installed.
var ErrNoStap = errors.New("systemtap is not installed")

// Runtime is how SystemTap runs a script: as a kernel module or as bpf
// programs.
type Runtime uint8

// The runtimes. Auto means kernel modules where a trial has shown that they
// work, bpf otherwise and until then.
const (
	Auto Runtime = iota
	Kernel
	BPF
)

// String returns the name as the --script.runtime flag takes it.
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

// ParseRuntime reads a --script.runtime flag.
func ParseRuntime(s string) (Runtime, error) {
	for _, r := range []Runtime{Auto, Kernel, BPF} {
		if s == r.String() {
			return r, nil
		}
	}
	return Auto, fmt.Errorf("parse runtime %q: want auto, kernel or bpf", s)
}
