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

// The launcher's first argument.
const (
	// for stapbpf itself: a reader that leaves early must not kill it
	IgnoreSIGPIPE = "ignore-sigpipe"
	// for programs that may rely on SIGPIPE, as shell pipelines do
	LeaveSIGPIPE = "leave-sigpipe"
)

// LaunchesStapbpf reports whether launch with these arguments becomes stapbpf.
func LaunchesStapbpf(args []string) bool { return len(args) > 0 && args[0] == IgnoreSIGPIPE }

// Launch becomes the command args[1:], whose first element is a path, after it
// has prepared what only the process itself can prepare; args[0] is the
// launcher's mode. It is called by this program when re-executed as
// Config.Launcher says, in the place of main. It returns only when it fails.
//
// stapbpf insists on raising RLIMIT_MEMLOCK to infinity and gives up where that
// is not allowed (no CAP_SYS_RESOURCE, usual in containers), though kernels
// since 5.11 do not count bpf maps against it. So the limit is raised here;
// where that fails for root, a seccomp filter answers "done" to such a request,
// without doing anything. For others it is left alone: stapbpf is set-user-id
// root for them and can raise it.
func Launch(args []string) error {
	if len(args) < 2 || args[0] != IgnoreSIGPIPE && args[0] != LeaveSIGPIPE {
		return errors.New("launch: want a mode and a command")
	}
	if args[0] == IgnoreSIGPIPE {
		signal.Ignore(syscall.SIGPIPE)
	}
	// the filter holds for this thread, which must be the one that calls exec
	runtime.LockOSThread()
	limit := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil && os.Geteuid() == 0 {
		if err := filterMemlock(); err != nil {
			// Only bpf scripts need it, and stapbpf will say so.
			fmt.Fprintf(os.Stderr, "launch: install filter for RLIMIT_MEMLOCK: %v\n", err)
		}
	}
	return fmt.Errorf("launch %s: %w", args[1], syscall.Exec(args[1], args[1:], os.Environ()))
}
