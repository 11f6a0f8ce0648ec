package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"stap-exporter/test/harness"
)

// The reply names a full disk and the remedy. The script starts when there is
// space again; a script that runs already is not affected.
func TestFullDisk(t *testing.T) {
	harness.NeedStap(t)
	cache := t.TempDir()
	if err := unix.Mount("none", cache, "tmpfs", 0, "size=2m,mode=0700"); err != nil {
		t.Fatalf("mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(cache, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	e := harness.Start(
		t,
		harness.ScriptDir(t, map[string]string{"a.stp": harness.Counting, "b.stp": harness.Counting}),
		"--cache.dir="+cache,
	)
	if p := e.Get("/a.stp", "60"); p.Code != 200 {
		t.Fatalf("%d %s", p.Code, p.Body)
	}
	filler := filepath.Join(cache, "filler")
	fill(t, filler)
	p := e.Get("/b.stp", "60")
	if p.Code != 503 || !strings.Contains(p.Body, "what to do: the disk is full") {
		t.Errorf("%d %s", p.Code, p.Body)
	}
	if p := e.Get("/a.stp", "60"); p.Code != 200 {
		t.Errorf("the running script: %d %s", p.Code, p.Body)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "b.stp runs", func() bool { return e.Get("/b.stp", "60").Code == 200 })
	if !strings.Contains(e.Log(), "the disk is full") {
		t.Error("not in the log")
	}
	e.StopClean()
}

func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for {
		if _, err := f.Write(make([]byte, 4096)); errors.Is(err, unix.ENOSPC) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func twoGoodScripts(t *testing.T) string {
	t.Helper()
	return harness.ScriptDir(t, map[string]string{
		"a.stp": harness.StandInScript("good"),
		"b.stp": harness.StandInScript("good"),
	})
}

// exhaustDescriptors sets a process's limit of descriptors to those that it has
// open. undo sets it back.
func exhaustDescriptors(t *testing.T, pid int) (undo func()) {
	t.Helper()
	limit := func(set, get *unix.Rlimit) {
		t.Helper()
		if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, set, get); err != nil {
			t.Fatal(err)
		}
	}
	// The limit is one on the number of a new descriptor: here the lowest free
	// number, while none is open for a moment only.
	free := func() (n int) {
		for ; ; n++ {
			if _, err := os.Lstat(fmt.Sprintf("/proc/%d/fd/%d", pid, n)); err != nil {
				return n
			}
		}
	}
	lowest, same := free(), 0
	harness.Eventually(t, "no descriptor is opened or closed", func() bool {
		if now := free(); now != lowest {
			lowest, same = now, 0
		}
		same++
		return same == 20
	})
	var before unix.Rlimit
	limit(nil, &before)
	limit(&unix.Rlimit{Cur: uint64(lowest), Max: before.Max}, nil)
	return func() { limit(&before, nil) }
}

// At the limit of file descriptors no script starts and none can be read. The
// replies name the cause, and everything works again above the limit.
func TestNoDescriptors(t *testing.T) {
	e := harness.Start(t, twoGoodScripts(t))
	if p := e.Get("/a.stp", "60"); p.Code != 200 { // its connection is kept
		t.Fatalf("%d %s", p.Code, p.Body)
	}
	undo := exhaustDescriptors(t, e.Cmd.Process.Pid)
	if p := e.Get("/a.stp", "60"); p.Code != 502 || !strings.Contains(p.Body, "too many open files") {
		t.Errorf("running script: %d %s", p.Code, p.Body)
	}
	if s := e.Get("/api/v1/scripts/a.stp", ""); !strings.Contains(s.Body, "too many open files") {
		t.Errorf("its status: %s", s.Body)
	}
	p := e.Get("/b.stp", "60")
	if p.Code != 503 || !strings.Contains(p.Body, "too many open files") ||
		!strings.Contains(p.Body, "what to do: the exporter has no file descriptor left") {
		t.Errorf("new script: %d %s", p.Code, p.Body)
	}
	undo()
	if p := e.Get("/a.stp", "60"); p.Code != 200 {
		t.Errorf("afterwards: %d %s", p.Code, p.Body)
	}
	harness.Eventually(t, "b.stp runs", func() bool { return e.Get("/b.stp", "60").Code == 200 })
	e.StopClean()
}

// Requests for a script that was stopped by SIGSTOP end at the read timeout,
// and its status has the reason. It continues after a SIGCONT, and can be
// ended.
func TestSuspendedScript(t *testing.T) {
	e := harness.Start(t, twoGoodScripts(t), "--script.read-timeout=1s", "--web.enable-lifecycle")
	for _, name := range []string{"/a.stp", "/b.stp"} {
		// on a busy machine a read may take longer than the timeout
		harness.Eventually(t, name+" runs", func() bool { return e.Get(name, "60").Code == 200 })
	}
	child := e.Status("a.stp").OSPID
	if err := syscall.Kill(-child, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if p := e.Get("/a.stp", "60"); p.Code != 504 {
		t.Errorf("%d %s", p.Code, p.Body)
	}
	if list := e.Get("/", "").Body; !strings.Contains(list, "last read failed: ") {
		t.Errorf("list:\n%s", list)
	}
	harness.Eventually(t, "the other script answers", func() bool { return e.Get("/b.stp", "60").Code == 200 })
	if err := syscall.Kill(-child, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "it answers again", func() bool { return e.Get("/a.stp", "60").Code == 200 })
	if err := syscall.Kill(-child, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if code := e.Post("/api/v1/scripts/a.stp/stop"); code != 202 {
		t.Errorf("stop: %d", code)
	}
	harness.Eventually(t, "it has ended", func() bool {
		s := e.Status("a.stp")
		return s.State == "idle" && len(s.History) == 1 && s.History[0].Signal == "SIGKILL"
	})
	e.StopClean()
}
