package toolchain

import (
	"errors"
	"fmt"
)

// ErrNoStap reports that SystemTap, or a part that a script needs, is not
// installed.
var ErrNoStap = errors.New("systemtap is not installed")

// Runtime is how SystemTap runs a script: as a kernel module or as bpf
// programs.
type Runtime uint8

// The runtimes. Auto means kernel modules after a capability probe has shown
// that they work, and bpf until then or otherwise.
const (
	Auto Runtime = iota
	Kernel
	BPF
)

// String returns the runtime's value of the flag --script.runtime.
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

// ParseRuntime parses a value of the flag --script.runtime.
func ParseRuntime(s string) (Runtime, error) {
	for _, r := range []Runtime{Auto, Kernel, BPF} {
		if s == r.String() {
			return r, nil
		}
	}
	return Auto, fmt.Errorf("parse runtime %q: want auto, kernel or bpf", s)
}
