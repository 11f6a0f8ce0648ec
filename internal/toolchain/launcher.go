package toolchain

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// The launcher's first argument, its mode.
const (
	// IgnoreSIGPIPE is for stapbpf: a reader that closes its FIFO early must
	// not kill it.
	IgnoreSIGPIPE = "ignore-sigpipe"
	// leaveSIGPIPE is for executable scripts, which may rely on SIGPIPE as
	// shell pipelines do.
	leaveSIGPIPE = "leave-sigpipe"
)

// LaunchesStapbpf reports whether Launch with these arguments becomes stapbpf.
func LaunchesStapbpf(args []string) bool { return len(args) > 0 && args[0] == IgnoreSIGPIPE }

// Launch prepares this process and replaces it with the command args[1:], whose
// first element is a path. args[0] is the mode. The exporter's re-executed
// executable calls it instead of main, see Tools.Launcher. Launch returns only
// when it fails.
//
// Observed with SystemTap 4.8: stapbpf raises RLIMIT_MEMLOCK to infinity and
// gives up when it may not, as in most containers (no CAP_SYS_RESOURCE),
// although kernels since 5.11 do not count bpf maps against that limit. So
// Launch raises the limit itself. Where that fails for root, it installs a
// seccomp filter that reports success for such a request without executing it.
// Other users need no filter: for them stapbpf is set-user-ID root and may
// raise the limit.
func Launch(args []string) error {
	if len(args) < 2 || args[0] != IgnoreSIGPIPE && args[0] != leaveSIGPIPE {
		return errors.New("launch: want a mode and a command")
	}
	if args[0] == IgnoreSIGPIPE {
		signal.Ignore(syscall.SIGPIPE)
	}
	// The filter applies to this thread, which must be the one that calls exec.
	runtime.LockOSThread()
	limit := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil && os.Geteuid() == 0 {
		if err := filterMemlock(); err != nil {
			// Only bpf scripts need the filter, and stapbpf reports the
			// failure.
			fmt.Fprintf(os.Stderr, "launch: install filter for RLIMIT_MEMLOCK: %v\n", err)
		}
	}
	return fmt.Errorf("launch %s: %w", args[1], syscall.Exec(args[1], args[1:], os.Environ()))
}
