package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"stap-exporter/test/harness"
)

// five are scripts that are hard to end: two of real bpf with uprobes, one that
// ignores TERM, one that compiles for ever, one whose wrapper has a grandchild
// in another session.
func five(t *testing.T) string {
	t.Helper()
	example, err := os.ReadFile(filepath.Join(shipped, "example.stp"))
	if err != nil {
		t.Fatal(err)
	}
	return harness.ScriptDir(t, map[string]string{
		"counting-autostart.stp":  counting,
		"example-autostart.stp":   string(example),
		"stubborn-autostart.stp":  stubborn,
		"compiling-autostart.stp": "#!/bin/bash\nmkdir \"$(mktemp -d -t stapXXXXXX)/c\"\nbash -c 'sleep 301; :' # $@\nexit 1\n",
		"wrapper-autostart.stp":   "#!/bin/bash\nsetsid bash -c 'trap \"\" TERM; sleep 302; sleep 302' &\nstap --bpf -e '" + counting + "' \"$@\"\n",
	})
}

// startFive starts an exporter with the five scripts and returns when each has
// all of its processes.
func startFive(t *testing.T, scripts, cache string) (e *harness.Exporter, instance string, marked []string) {
	t.Helper()
	e = harness.Start(t, scripts, "--cache.dir="+cache)
	for _, name := range []string{"counting", "example", "wrapper"} {
		if p := e.Get("/"+name+"-autostart.stp", "60"); p.Code != 200 {
			t.Fatalf("%s: %d %s", name, p.Code, p.Body)
		}
	}
	harness.Eventually(t, "the five are up", func() bool {
		marked = harness.TaggedProcesses(cache)
		all := strings.Join(marked, "\n")
		return strings.Contains(all, "sleep 300") && strings.Contains(all, "sleep 301") &&
			strings.Contains(all, "sleep 302") &&
			strings.Count(all, "stapbpf ") >= 3 &&
			len(harness.ProbesOf(marked)) > 0
	})
	// The folder of an instance, called by its id, holds its guardian's lock.
	locks, _ := filepath.Glob(filepath.Join(cache, "*", "guardian.lock"))
	if len(locks) != 1 {
		t.Fatalf("locks: %q", locks)
	}
	return e, filepath.Base(filepath.Dir(locks[0])), marked
}

// checkCleanEnd scrapes and ends an exporter that came after a killed one.
func checkCleanEnd(t *testing.T, e *harness.Exporter, cache, instance string, marked []string) {
	t.Helper()
	if p := e.Get("/counting-autostart.stp", "60"); p.Code != 200 || !countingText.MatchString(p.Body) {
		t.Errorf("after it: %d %s", p.Code, p.Body)
	}
	guardian := harness.GuardianOf(e.Cmd.Process.Pid)
	if code := e.Stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if left := harness.Residue(cache, instance, marked); len(left) > 0 {
		t.Errorf("after an orderly end: %q", left)
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", guardian)); guardian == 0 || err == nil {
		t.Errorf("the guardian, process %d, is still there", guardian)
	}
}

// kill -9 of the exporter, with five scripts running, leaves nothing behind,
// and the next start finds nothing to remove.
func TestKilledExporter(t *testing.T) {
	harness.NeedStap(t)
	scripts, cache := five(t), t.TempDir()
	e, instance, marked := startFive(t, scripts, cache)
	begun := time.Now()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", harness.GuardianOf(e.Cmd.Process.Pid)))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "nothing is left", func() bool { return len(harness.Residue(cache, instance, marked)) == 0 })
	_, rss, _ := strings.Cut(string(status), "VmRSS:")
	rss, _, _ = strings.Cut(rss, "\n")
	t.Logf(
		"of %d processes nothing is left after %v; resident memory of the guardian:%s",
		len(marked),
		time.Since(begun).Round(time.Millisecond),
		rss,
	)
	<-e.Exited
	if !strings.Contains(e.Log(), "the exporter died, its guardian ended its scripts") {
		t.Error("the guardian did not say so")
	}

	next := harness.Start(t, scripts, "--cache.dir="+cache)
	checkCleanEnd(t, next, cache, instance, marked)
	if strings.Contains(next.Log(), "earlier exporter left") {
		t.Error("the next start had something to remove")
	}
}

// Where the guardian is killed with its exporter, the next start removes what
// they left.
func TestKilledWithItsGuardian(t *testing.T) {
	harness.NeedStap(t)
	scripts, cache := five(t), t.TempDir()
	e, instance, marked := startFive(t, scripts, cache)
	e.Kill(harness.GuardianOf(e.Cmd.Process.Pid), e.Cmd.Process.Pid)
	harness.Eventually(t, "they are left behind", func() bool { return len(harness.TaggedProcesses(cache)) > 4 })

	next := harness.Start(t, scripts, "--cache.dir="+cache)
	if left := harness.ProbesOf(marked); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	for _, m := range marked {
		pid, _, _ := strings.Cut(m, " ")
		if text, err := os.ReadFile("/proc/" + pid + "/environ"); err == nil && bytes.Contains(text, []byte(cache)) {
			t.Errorf("left: %s", m)
		}
	}
	if !strings.Contains(next.Log(), "removed what an earlier exporter left") {
		t.Error("it does not say what it removed")
	}
	checkCleanEnd(t, next, cache, instance, marked)
}

// A guardian that is killed is replaced, and the next one knows everything.
func TestKilledGuardianIsReplaced(t *testing.T) {
	harness.NeedStap(t)
	scripts, cache := five(t), t.TempDir()
	e, instance, marked := startFive(t, scripts, cache)
	first := harness.GuardianOf(e.Cmd.Process.Pid)
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "another guardian", func() bool { return strings.Count(e.Log(), `"guardian started"`) == 2 })
	if now := harness.GuardianOf(e.Cmd.Process.Pid); now == 0 || now == first {
		t.Errorf("guardian is process %d, was %d", now, first)
	}
	if n := strings.Count(e.Log(), "guardian ended, starting another"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	e.Kill(e.Cmd.Process.Pid)
	harness.Eventually(t, "nothing is left", func() bool { return len(harness.Residue(cache, instance, marked)) == 0 })
}
