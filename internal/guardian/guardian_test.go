package guardian

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"stap-exporter/internal/cleanup"
	"stap-exporter/internal/staptest"
)

// begin starts a guardian for a private directory.
func begin(t *testing.T) (g *Guardian, dir string) {
	t.Helper()
	// the race detector's processes end a second late otherwise
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	dir = t.TempDir()
	lock, err := Lock(dir, 0, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	g, err = Start([]string{staptest.Executable(), "as-guardian"}, cleanup.Cleaner{Dir: dir}, lock, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g, dir
}

func (g *Guardian) pid() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.process == nil {
		return 0
	}
	return g.process.PID()
}

func TestGuardianIsAProcessOfItsOwn(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	inherited, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0) // not closed on exec
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(inherited)
	g, _ := begin(t)
	pid := g.pid()
	staptest.WaitFor(t, "it has another name", func() bool {
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		return string(name) == "guardian\n"
	})
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(fds) == 0 {
		t.Fatal("no descriptors", err)
	}
	for _, fd := range fds {
		if to, _ := os.Readlink(fd); strings.HasPrefix(to, "socket:") {
			t.Errorf("%s is %s", fd, to)
		}
	}
	if to, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); to != "/" {
		t.Errorf("it works in %q (%v)", to, err)
	}
	if sid, err := unix.Getsid(pid); sid != pid {
		t.Errorf("its session is %d (%v)", sid, err)
	}
	g.Close()
	if err := syscall.Kill(pid, 0); err == nil {
		t.Error("it is still there after the close")
	}
}

func TestGuardianCleansUp(t *testing.T) {
	g, dir := begin(t)
	work := filepath.Join(dir, "run", "m1")
	if err := os.MkdirAll(work, 0o700); err != nil {
		t.Fatal(err)
	}
	g.Close()
	if _, err := os.Stat(work); err == nil {
		t.Error("a work directory is left")
	}
}

func TestKilledGuardianIsReplaced(t *testing.T) {
	g, _ := begin(t)
	for range 2 {
		first := g.pid()
		if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		staptest.WaitFor(t, "another guardian", func() bool { now := g.pid(); return now != 0 && now != first })
	}
}

// A guardian that was stopped does not delay an end in which it has nothing to
// do.
func TestStoppedGuardianDoesNotDelayTheEnd(t *testing.T) {
	g, _ := begin(t)
	pid := g.pid()
	staptest.WaitFor(t, "it waits", func() bool { return staptest.Ignores(t, pid, syscall.SIGTERM) })
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	g.Close()
	if err := syscall.Kill(pid, 0); err == nil {
		t.Error("it is still there")
	}
}
