package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A full disk is named, with what to do; once there is room again the script
// starts. A script that runs already does not notice.
func TestFullDisk(t *testing.T) {
	needStap(t)
	cache := t.TempDir()
	if err := unix.Mount("none", cache, "tmpfs", 0, "size=2m,mode=0700"); err != nil {
		t.Fatalf("mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(cache, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	e := startExporter(t, folder(t, map[string]string{"a.stp": counting, "b.stp": counting}), "--cache.dir="+cache)
	if p := e.get("/a.stp", "60"); p.code != 200 {
		t.Fatalf("%d %s", p.code, p.body)
	}
	filler := filepath.Join(cache, "filler")
	fill(t, filler)
	p := e.get("/b.stp", "60")
	if p.code != 503 || !strings.Contains(p.body, "what to do: the disk is full") {
		t.Errorf("%d %s", p.code, p.body)
	}
	if p := e.get("/a.stp", "60"); p.code != 200 {
		t.Errorf("who ran before: %d %s", p.code, p.body)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	eventually(t, "b.stp runs", func() bool { return e.get("/b.stp", "60").code == 200 })
	if !strings.Contains(e.logged(), "the disk is full") {
		t.Error("not in the log")
	}
	if code := e.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	e.nothingLeft()
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
	e := startExporter(t, folder(t, map[string]string{"a.stp": standInScript("good"), "b.stp": standInScript("good")}))
	if p := e.get("/a.stp", "60"); p.code != 200 { // and its connection stays
		t.Fatalf("%d %s", p.code, p.body)
	}
	pid := e.cmd.Process.Pid
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
	eventually(t, "nothing is opened and closed", func() bool {
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
	if p := e.get("/a.stp", "60"); p.code != 502 || !strings.Contains(p.body, "too many open files") {
		t.Errorf("running script: %d %s", p.code, p.body)
	}
	if s := e.get("/api/v1/scripts/a.stp", ""); !strings.Contains(s.body, "too many open files") {
		t.Errorf("its status: %s", s.body)
	}
	if p := e.get(
		"/b.stp",
		"60",
	); p.code != 503 || !strings.Contains(p.body, "too many open files") ||
		!strings.Contains(p.body, "what to do: the exporter has no file descriptor left") {
		t.Errorf("new script: %d %s", p.code, p.body)
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &before, nil); err != nil {
		t.Fatal(err)
	}
	if p := e.get("/a.stp", "60"); p.code != 200 {
		t.Errorf("afterwards: %d %s", p.code, p.body)
	}
	eventually(t, "b.stp runs", func() bool { return e.get("/b.stp", "60").code == 200 })
	if code := e.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	e.nothingLeft()
}

// A script that somebody has stopped (SIGSTOP) answers nobody: its requests end
// at the read timeout, its status says so, and it goes on, or ends, when asked.
func TestStoppedScript(t *testing.T) {
	e := startExporter(
		t,
		folder(t, map[string]string{"a.stp": standInScript("good"), "b.stp": standInScript("good")}),
		"--read-timeout=1s",
		"--web.enable-lifecycle",
	)
	for _, name := range []string{"/a.stp", "/b.stp"} {
		// on a busy machine a read can take longer than the timeout, too
		eventually(t, name+" runs", func() bool { return e.get(name, "60").code == 200 })
	}
	child := e.status("a.stp").OSPID
	if err := syscall.Kill(-child, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if p := e.get("/a.stp", "60"); p.code != 504 {
		t.Errorf("%d %s", p.code, p.body)
	}
	if list := e.get("/", "").body; !strings.Contains(list, "its last read failed: ") {
		t.Errorf("list:\n%s", list)
	}
	eventually(t, "its neighbour answers", func() bool { return e.get("/b.stp", "60").code == 200 })
	if err := syscall.Kill(-child, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it answers again", func() bool { return e.get("/a.stp", "60").code == 200 })
	if err := syscall.Kill(-child, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if code := e.post("/api/v1/scripts/a.stp/stop"); code != 202 {
		t.Errorf("stop: %d", code)
	}
	eventually(t, "it is ended", func() bool {
		s := e.status("a.stp")
		return s.State == "idle" && len(s.History) == 1 && s.History[0].Signal == "SIGKILL"
	})
	if code := e.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	e.nothingLeft()
}
