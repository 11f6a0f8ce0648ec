package toolchain

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"stap-exporter/internal/staptest"
)

// asLauncher runs argv through the launcher and returns its output.
func asLauncher(t *testing.T, mode string, argv ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(staptest.Executable(), append([]string{"as-launcher", mode}, argv...)...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestLauncherSIGPIPE(t *testing.T) {
	for mode, want := range map[string]uint64{IgnoreSIGPIPE: 1, leaveSIGPIPE: 0} {
		out, err := asLauncher(t, mode, "/bin/cat", "/proc/self/status")
		if err != nil {
			t.Fatal(err, out)
		}
		_, ignored, _ := strings.Cut(out, "SigIgn:\t")
		set, err := strconv.ParseUint(strings.TrimSpace(strings.SplitN(ignored, "\n", 2)[0]), 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		if got := set >> (syscall.SIGPIPE - 1) & 1; got != want {
			t.Errorf("%s: SIGPIPE ignored: %d, want %d", mode, got, want)
		}
	}
}

func TestLauncherRaisesTheMemoryLockLimit(t *testing.T) {
	if testing.Short() {
		t.Skip("needs root: the seccomp filter is for root only")
	}
	// prlimit(1) of util-linux calls prlimit64 for itself and then becomes the
	// command.
	out, err := asLauncher(
		t,
		leaveSIGPIPE,
		"/usr/bin/prlimit",
		"--memlock=unlimited:unlimited",
		"--nofile=77:77",
		"/bin/sh",
		"-c",
		"ulimit -n",
	)
	if err != nil || strings.TrimSpace(out) != "77" {
		t.Errorf("prlimit prints %q (%v)", out, err)
	}
	out, err = asLauncher(
		t,
		leaveSIGPIPE,
		"/bin/sh",
		"-c",
		"ulimit -l >/dev/null && ulimit -l unlimited && echo done",
	)
	if err != nil || strings.TrimSpace(out) != "done" {
		t.Errorf("sh prints %q (%v)", out, err)
	}
}

func TestLauncherReportsErrors(t *testing.T) {
	for _, args := range [][]string{nil, {"ignore-sigpipe"}, {"x", "/bin/true"}} {
		if err := Launch(args); err == nil {
			t.Errorf("Launch(%q) returns no error", args)
		}
	}
	out, err := asLauncher(t, leaveSIGPIPE, "/nowhere")
	if err == nil || !strings.Contains(out, "launch /nowhere: no such file") {
		t.Errorf("launcher prints %q (%v)", out, err)
	}
}

// TestMemlockFilter interprets the filter: the kernel would only run it for
// this machine's architecture.
func TestMemlockFilter(t *testing.T) {
	filter := memlockFilter(unix.AUDIT_ARCH_X86_64)
	const ptr, highPtr = 0x1000, 1 << 40
	for _, c := range []struct {
		what    string
		arch    uint32
		number  uint32
		args    [3]uint64
		success bool
	}{
		{
			what:    "raise own limit",
			arch:    unix.AUDIT_ARCH_X86_64,
			number:  unix.SYS_PRLIMIT64,
			args:    [3]uint64{0, unix.RLIMIT_MEMLOCK, ptr},
			success: true,
		},
		{
			what:    "raise another's limit",
			arch:    unix.AUDIT_ARCH_X86_64,
			number:  unix.SYS_PRLIMIT64,
			args:    [3]uint64{4711, unix.RLIMIT_MEMLOCK, highPtr},
			success: true,
		},
		{
			what:   "query own limit",
			arch:   unix.AUDIT_ARCH_X86_64,
			number: unix.SYS_PRLIMIT64,
			args:   [3]uint64{0, unix.RLIMIT_MEMLOCK, 0},
		},
		{
			what:   "another limit",
			arch:   unix.AUDIT_ARCH_X86_64,
			number: unix.SYS_PRLIMIT64,
			args:   [3]uint64{0, unix.RLIMIT_NOFILE, ptr},
		},
		{
			what:    "setrlimit",
			arch:    unix.AUDIT_ARCH_X86_64,
			number:  unix.SYS_SETRLIMIT,
			args:    [3]uint64{unix.RLIMIT_MEMLOCK, ptr},
			success: true,
		},
		{
			what:   "setrlimit of another limit",
			arch:   unix.AUDIT_ARCH_X86_64,
			number: unix.SYS_SETRLIMIT,
			args:   [3]uint64{unix.RLIMIT_NOFILE, ptr},
		},
		{
			what:   "another call",
			arch:   unix.AUDIT_ARCH_X86_64,
			number: unix.SYS_READ,
			args:   [3]uint64{unix.RLIMIT_MEMLOCK, unix.RLIMIT_MEMLOCK, ptr},
		},
		{
			what:   "another architecture",
			arch:   unix.AUDIT_ARCH_I386,
			number: unix.SYS_PRLIMIT64,
			args:   [3]uint64{0, unix.RLIMIT_MEMLOCK, ptr},
		},
	} {
		words := map[uint32]uint32{seccompNumber: c.number, seccompArch: c.arch}
		for i, a := range c.args {
			words[seccompArgs+8*uint32(i)] = uint32(a)
			words[seccompArgs+8*uint32(i)+4] = uint32(a >> 32)
		}
		want := uint32(unix.SECCOMP_RET_ALLOW)
		if c.success {
			want = unix.SECCOMP_RET_ERRNO
		}
		if got := interpret(t, filter, words); got != want {
			t.Errorf("%s: %#x, want %#x", c.what, got, want)
		}
	}
	if _, ok := auditArch[runtime.GOARCH]; !ok {
		t.Errorf("no architecture number for %s", runtime.GOARCH)
	}
}

// interpret runs the instructions of classic BPF that the filter uses on the
// words of a seccomp_data, by their offsets.
func interpret(t *testing.T, filter []unix.SockFilter, words map[uint32]uint32) uint32 {
	t.Helper()
	var a uint32
	for i := 0; i < len(filter); i++ {
		switch in := filter[i]; in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = words[in.K]
		case unix.BPF_JMP | unix.BPF_JA:
			i += int(in.K)
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			if a == in.K {
				i += int(in.Jt)
			} else {
				i += int(in.Jf)
			}
		case unix.BPF_RET | unix.BPF_K:
			return in.K
		default:
			t.Fatalf("unknown instruction %#x", in.Code)
		}
	}
	t.Fatal("the filter does not return")
	return 0
}
