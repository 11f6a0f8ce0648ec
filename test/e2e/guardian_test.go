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

// hardToStop creates five scripts: two bpf programs with uprobes, a script that
// ignores SIGTERM, one that compiles without end, and a wrapper with a
// grandchild in another session.
func hardToStop(t *testing.T) string {
	t.Helper()
	example, err := os.ReadFile(filepath.Join(shipped, "example.stp"))
	if err != nil {
		t.Fatal(err)
	}
	return harness.ScriptDir(t, map[string]string{
		"counting-autostart.stp": harness.Counting,
		"example-autostart.stp":  string(example),
		"stubborn-autostart.stp": stubborn,
		"compiling-autostart.stp": "#!/bin/bash\n" +
			"mkdir \"$(mktemp -d -t stapXXXXXX)/c\"\n" +
			"bash -c 'sleep 301; :' # $@\n" +
			"exit 1\n",
		"wrapper-autostart.stp": "#!/bin/bash\n" +
			"setsid bash -c 'trap \"\" TERM; sleep 302; sleep 302' &\n" +
			"stap --bpf -e '" + harness.Counting + "' \"$@\"\n",
	})
}

// guarded is an exporter of the scripts of hardToStop, all of which run.
type guarded struct {
	*harness.Exporter
	scripts, cache string
	instance       string
	runs           []harness.Process
}

func startGuarded(t *testing.T) *guarded {
	t.Helper()
	harness.NeedStap(t)
	g := &guarded{scripts: hardToStop(t), cache: t.TempDir()}
	g.Exporter = harness.Start(t, g.scripts, "--cache.dir="+g.cache)
	for _, name := range []string{"counting", "example", "wrapper"} {
		if p := g.Get("/"+name+"-autostart.stp", "60"); p.Code != 200 {
			t.Fatalf("%s: %d %s", name, p.Code, p.Body)
		}
	}
	harness.Eventually(t, "all processes run", func() bool {
		g.runs = harness.TaggedProcesses(g.cache)
		all := fmt.Sprint(g.runs)
		return strings.Contains(all, "sleep 300") && strings.Contains(all, "sleep 301") &&
			strings.Contains(all, "sleep 302") &&
			strings.Count(all, "stapbpf ") >= 3 &&
			len(harness.ProbesOf(g.runs)) > 0
	})
	// The guardian's lock is in the directory of the instance, named by its ID.
	locks, _ := filepath.Glob(filepath.Join(g.cache, "*", "guardian.lock"))
	if len(locks) != 1 {
		t.Fatalf("locks: %q", locks)
	}
	g.instance = filepath.Base(filepath.Dir(locks[0]))
	return g
}

func (g *guarded) residue() []string { return harness.Residue(g.cache, g.instance, g.runs) }

// startNext starts an exporter of the same instance.
func (g *guarded) startNext(t *testing.T) *guarded {
	t.Helper()
	next := *g
	next.Exporter = harness.Start(t, g.scripts, "--cache.dir="+g.cache)
	return &next
}

// checkCleanEnd scrapes and stops an exporter that was started after a killed
// one.
func (g *guarded) checkCleanEnd(t *testing.T) {
	t.Helper()
	if p := g.Get("/counting-autostart.stp", "60"); p.Code != 200 || !harness.CountingText.MatchString(p.Body) {
		t.Errorf("after the kill: %d %s", p.Code, p.Body)
	}
	guardian := harness.GuardianOf(g.Cmd.Process.Pid)
	if code := g.Stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if left := g.residue(); len(left) > 0 {
		t.Errorf("residue after a clean end: %q", left)
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", guardian)); guardian == 0 || err == nil {
		t.Errorf("the guardian, process %d, still exists", guardian)
	}
}

// A killed exporter leaves no residue, and the next one finds none to remove.
func TestKilledExporter(t *testing.T) {
	g := startGuarded(t)
	begun := time.Now()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", harness.GuardianOf(g.Cmd.Process.Pid)))
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "no residue", func() bool { return len(g.residue()) == 0 })
	_, rss, _ := strings.Cut(string(status), "VmRSS:")
	rss, _, _ = strings.Cut(rss, "\n")
	t.Logf(
		"%d processes cleaned up after %v; resident memory of the guardian:%s",
		len(g.runs),
		time.Since(begun).Round(time.Millisecond),
		rss,
	)
	<-g.Exited
	if !strings.Contains(g.Log(), "exporter was killed, guardian stopped its scripts") {
		t.Error("no line of the guardian in the log")
	}

	next := g.startNext(t)
	next.checkCleanEnd(t)
	if strings.Contains(next.Log(), "residue of an earlier exporter") {
		t.Error("the next exporter found residue")
	}
}

// When the guardian is killed with its exporter, the next exporter removes the
// residue.
func TestKilledWithItsGuardian(t *testing.T) {
	g := startGuarded(t)
	g.Kill(harness.GuardianOf(g.Cmd.Process.Pid), g.Cmd.Process.Pid)
	harness.Eventually(t, "processes are left", func() bool { return len(harness.TaggedProcesses(g.cache)) > 4 })

	next := g.startNext(t)
	if left := harness.ProbesOf(g.runs); len(left) > 0 {
		t.Errorf("probes left: %q", left)
	}
	for _, p := range g.runs {
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.OSPID))
		if err == nil && bytes.Contains(environ, []byte(g.cache)) {
			t.Errorf("process left: %s", p)
		}
	}
	if !strings.Contains(next.Log(), "residue of an earlier exporter removed") {
		t.Error("the log does not name the removed residue")
	}
	next.checkCleanEnd(t)
}

// A killed guardian is replaced, and the new one knows all runs.
func TestKilledGuardianIsReplaced(t *testing.T) {
	g := startGuarded(t)
	first := harness.GuardianOf(g.Cmd.Process.Pid)
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "another guardian", func() bool { return strings.Count(g.Log(), `"guardian started"`) == 2 })
	if now := harness.GuardianOf(g.Cmd.Process.Pid); now == 0 || now == first {
		t.Errorf("guardian is process %d, was %d", now, first)
	}
	if n := strings.Count(g.Log(), "guardian ended, starting another"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	g.Kill(g.Cmd.Process.Pid)
	harness.Eventually(t, "no residue", func() bool { return len(g.residue()) == 0 })
}
