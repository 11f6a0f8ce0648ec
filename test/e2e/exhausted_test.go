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

// A full disk is named, with what to do; once there is room again the script
// starts. A script that runs already does not notice.
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
		harness.ScriptDir(t, map[string]string{"a.stp": counting, "b.stp": counting}),
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
		t.Errorf("who ran before: %d %s", p.Code, p.Body)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "b.stp runs", func() bool { return e.Get("/b.stp", "60").Code == 200 })
	if !strings.Contains(e.Log(), "the disk is full") {
		t.Error("not in the log")
	}
	if code := e.Stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	e.CheckResidue()
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

// Without a file descriptor left nothing starts and nothing can be read; the
// answers say so, and all goes on when there are some again.
func TestNoDescriptors(t *testing.T) {
	e := harness.Start(
		t,
		harness.ScriptDir(
			t,
			map[string]string{"a.stp": harness.StandInScript("good"), "b.stp": harness.StandInScript("good")},
		),
	)
	if p := e.Get("/a.stp", "60"); p.Code != 200 { // and its connection stays
		t.Fatalf("%d %s", p.Code, p.Body)
	}
	pid := e.Cmd.Process.Pid
	var before unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &before); err != nil {
		t.Fatal(err)
	}
	// The limit is on the number of a new descriptor: the lowest that is free,
	// once nothing is open for a moment only.
	free := func() (n int) {
		for ; ; n++ {
			if _, err := os.Lstat(fmt.Sprintf("/proc/%d/fd/%d", pid, n)); err != nil {
				return n
			}
		}
	}
	lowest, same := free(), 0
	harness.Eventually(t, "nothing is opened and closed", func() bool {
		if now := free(); now != lowest {
			lowest, same = now, 0
		}
		same++
		return same == 20
	})
	if err := unix.Prlimit(
		pid,
		unix.RLIMIT_NOFILE,
		&unix.Rlimit{Cur: uint64(lowest), Max: before.Max},
		nil,
	); err != nil {
		t.Fatal(err)
	}
	if p := e.Get("/a.stp", "60"); p.Code != 502 || !strings.Contains(p.Body, "too many open files") {
		t.Errorf("running script: %d %s", p.Code, p.Body)
	}
	if s := e.Get("/api/v1/scripts/a.stp", ""); !strings.Contains(s.Body, "too many open files") {
		t.Errorf("its status: %s", s.Body)
	}
	if p := e.Get(
		"/b.stp",
		"60",
	); p.Code != 503 || !strings.Contains(p.Body, "too many open files") ||
		!strings.Contains(p.Body, "what to do: the exporter has no file descriptor left") {
		t.Errorf("new script: %d %s", p.Code, p.Body)
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &before, nil); err != nil {
		t.Fatal(err)
	}
	if p := e.Get("/a.stp", "60"); p.Code != 200 {
		t.Errorf("afterwards: %d %s", p.Code, p.Body)
	}
	harness.Eventually(t, "b.stp runs", func() bool { return e.Get("/b.stp", "60").Code == 200 })
	if code := e.Stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	e.CheckResidue()
}

// A script that somebody has stopped (SIGSTOP) answers nobody: its requests end
// at the read timeout, its status says so, and it goes on, or ends, when asked.
func TestStoppedScript(t *testing.T) {
	e := harness.Start(
		t,
		harness.ScriptDir(
			t,
			map[string]string{"a.stp": harness.StandInScript("good"), "b.stp": harness.StandInScript("good")},
		),
		"--script.read-timeout=1s",
		"--web.enable-lifecycle",
	)
	for _, name := range []string{"/a.stp", "/b.stp"} {
		// on a busy machine a read can take longer than the timeout, too
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
	harness.Eventually(t, "its neighbour answers", func() bool { return e.Get("/b.stp", "60").Code == 200 })
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
	harness.Eventually(t, "it is ended", func() bool {
		s := e.Status("a.stp")
		return s.State == "idle" && len(s.History) == 1 && s.History[0].Signal == "SIGKILL"
	})
	if code := e.Stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	e.CheckResidue()
}
