package toolchain

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"stap-exporter/internal/staptest"

	"golang.org/x/sys/unix"
)

// asLauncher runs argv under the launcher, without CAP_SYS_RESOURCE and with a
// small memory-lock limit where that can be arranged.
func asLauncher(t *testing.T, mode string, argv ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(staptest.Executable(), append([]string{"as-launcher", mode}, argv...)...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestLauncherSIGPIPE(t *testing.T) {
	for mode, want := range map[string]uint64{IgnoreSIGPIPE: 1, LeaveSIGPIPE: 0} {
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
			t.Errorf("%s: SIGPIPE ignored is %d, want %d", mode, got, want)
		}
	}
}

func TestLauncherLiftsTheMemoryLockLimit(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root gets the filter")
	}
	// prlimit(1) is in util-linux, which every Debian has. It calls prlimit64
	// for itself and then execs.
	out, err := asLauncher(
		t,
		LeaveSIGPIPE,
		"/usr/bin/prlimit",
		"--memlock=unlimited:unlimited",
		"--nofile=77:77",
		"/bin/sh",
		"-c",
		"ulimit -n",
	)
	if err != nil || strings.TrimSpace(out) != "77" {
		t.Errorf("prlimit says %q (%v)", out, err)
	}
	out, err = asLauncher(
		t,
		LeaveSIGPIPE,
		"/bin/sh",
		"-c",
		"ulimit -l >/dev/null && ulimit -l unlimited && echo done",
	)
	if err != nil || strings.TrimSpace(out) != "done" {
		t.Errorf("sh says %q (%v)", out, err)
	}
}

func TestLauncherRefusesNonsense(t *testing.T) {
	for _, args := range [][]string{nil, {"ignore-sigpipe"}, {"x", "/bin/true"}} {
		if err := Launch(args); err == nil {
			t.Errorf("Launch(%q) gives no error", args)
		}
	}
	out, err := asLauncher(t, LeaveSIGPIPE, "/nowhere")
	if err == nil || !strings.Contains(out, "launch /nowhere: no such file") {
		t.Errorf("it says %q (%v)", out, err)
	}
}

// TestMemlockFilter runs the filter's program, since this machine's kernel
// tells only what it does for this architecture.
func TestMemlockFilter(t *testing.T) {
	program := memlockFilter(unix.AUDIT_ARCH_X86_64)
	const ptr, highPtr = 0x1000, 1 << 40
	for _, c := range []struct {
		what string
		arch uint32
		nr   uint32
		args [3]uint64
		done bool
	}{
		{"raise own limit", unix.AUDIT_ARCH_X86_64, unix.SYS_PRLIMIT64, [3]uint64{0, unix.RLIMIT_MEMLOCK, ptr}, true},
		{"raise another's limit", unix.AUDIT_ARCH_X86_64, unix.SYS_PRLIMIT64, [3]uint64{4711, unix.RLIMIT_MEMLOCK, highPtr}, true},
		{"ask", unix.AUDIT_ARCH_X86_64, unix.SYS_PRLIMIT64, [3]uint64{0, unix.RLIMIT_MEMLOCK, 0}, false},
		{"another limit", unix.AUDIT_ARCH_X86_64, unix.SYS_PRLIMIT64, [3]uint64{0, unix.RLIMIT_NOFILE, ptr}, false},
		{"setrlimit", unix.AUDIT_ARCH_X86_64, unix.SYS_SETRLIMIT, [3]uint64{unix.RLIMIT_MEMLOCK, ptr}, true},
		{"setrlimit of another", unix.AUDIT_ARCH_X86_64, unix.SYS_SETRLIMIT, [3]uint64{unix.RLIMIT_NOFILE, ptr}, false},
		{"another call", unix.AUDIT_ARCH_X86_64, unix.SYS_READ, [3]uint64{unix.RLIMIT_MEMLOCK, unix.RLIMIT_MEMLOCK, ptr}, false},
		{"another architecture", unix.AUDIT_ARCH_I386, unix.SYS_PRLIMIT64, [3]uint64{0, unix.RLIMIT_MEMLOCK, ptr}, false},
	} {
		words := map[uint32]uint32{seccompNumber: c.nr, seccompArch: c.arch}
		for i, a := range c.args {
			words[seccompArgs+8*uint32(i)] = uint32(a)
			words[seccompArgs+8*uint32(i)+4] = uint32(a >> 32)
		}
		want := uint32(unix.SECCOMP_RET_ALLOW)
		if c.done {
			want = unix.SECCOMP_RET_ERRNO
		}
		if got := interpret(t, program, words); got != want {
			t.Errorf("%s: %#x, want %#x", c.what, got, want)
		}
	}
	if _, ok := auditArch[runtime.GOARCH]; !ok {
		t.Errorf("no architecture number for %s", runtime.GOARCH)
	}
}

// interpret runs the few instructions of classic bpf that the filter uses.
func interpret(t *testing.T, program []unix.SockFilter, words map[uint32]uint32) uint32 {
	t.Helper()
	var a uint32
	for i := 0; i < len(program); i++ {
		switch in := program[i]; in.Code {
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
			t.Fatalf("instruction %#x", in.Code)
		}
	}
	t.Fatal("the program has no end")
	return 0
}
