package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
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
	return folder(t, map[string]string{
		"counting-autostart.stp":  counting,
		"example-autostart.stp":   string(example),
		"stubborn-autostart.stp":  stubborn,
		"compiling-autostart.stp": "#!/bin/bash\nmkdir \"$(mktemp -d -t stapXXXXXX)/c\"\nbash -c 'sleep 301; :' # $@\nexit 1\n",
		"wrapper-autostart.stp":   "#!/bin/bash\nsetsid bash -c 'trap \"\" TERM; sleep 302; sleep 302' &\nstap --bpf -e '" + counting + "' \"$@\"\n",
	})
}

// marks returns the processes that carry the mark of a run below dir, as "PID
// command line".
func marks(dir string) (found []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && bytes.Contains(text, []byte("STAP_EXPORTER_RUN="+dir+"/")) {
			line, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "cmdline"))
			found = append(found, filepath.Base(filepath.Dir(f))+" "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

// probes returns the uprobes of the marked processes given.
func probes(marked []string) (found []string) {
	events, _ := os.ReadFile("/sys/kernel/debug/tracing/uprobe_events")
	for _, m := range marked {
		pid, _, _ := strings.Cut(m, " ")
		for line := range strings.Lines(string(events)) {
			if strings.Contains(line, "/stapprobe_"+pid+"_") {
				found = append(found, strings.TrimSpace(line))
			}
		}
	}
	return found
}

// remains lists what is left of an exporter's runs: processes, FIFOs, work
// folders, probes of the processes given.
func remains(cache, instance string, marked []string) []string {
	left := append(marks(cache), probes(marked)...)
	for _, pattern := range []string{"/var/tmp/systemtap-root/stap_exporter_" + instance + "_*", "/proc/systemtap/stap_exporter_" + instance + "_*", cache + "/" + instance + "/run/*"} {
		paths, _ := filepath.Glob(pattern)
		left = append(left, paths...)
	}
	return left
}

// guardianOf returns the process id of an exporter's guardian, 0 when there is
// none.
func guardianOf(osPID int) int {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		line, _ := os.ReadFile(f)
		stat, err := os.ReadFile(filepath.Join(filepath.Dir(f), "stat"))
		if err != nil || !bytes.Contains(line, []byte("\x00"+guardArg+"\x00")) {
			continue
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if fields[1] == strconv.Itoa(osPID) {
			id, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			return id
		}
	}
	return 0
}

// startFive starts an exporter with the five scripts and returns when each has
// all of its processes.
func startFive(t *testing.T, scripts, cache string) (e *exporter, instance string, marked []string) {
	t.Helper()
	e = startExporter(t, scripts, "--cache.dir="+cache)
	for _, name := range []string{"counting", "example", "wrapper"} {
		if p := e.get("/"+name+"-autostart.stp", "60"); p.code != 200 {
			t.Fatalf("%s: %d %s", name, p.code, p.body)
		}
	}
	eventually(t, "the five are up", func() bool {
		marked = marks(cache)
		all := strings.Join(marked, "\n")
		return strings.Contains(all, "sleep 300") && strings.Contains(all, "sleep 301") &&
			strings.Contains(all, "sleep 302") &&
			strings.Count(all, "stapbpf ") >= 3 &&
			len(probes(marked)) > 0
	})
	// The folder of an instance, called by its id, holds its guardian's lock.
	locks, _ := filepath.Glob(filepath.Join(cache, "*", "guardian.lock"))
	if len(locks) != 1 {
		t.Fatalf("locks: %q", locks)
	}
	return e, filepath.Base(filepath.Dir(locks[0])), marked
}

// kill kills processes and waits until the exporter is reaped.
func (e *exporter) kill(osPIDs ...int) {
	e.t.Helper()
	for _, osPID := range osPIDs {
		if err := syscall.Kill(osPID, syscall.SIGKILL); err != nil {
			e.t.Fatal(err)
		}
	}
	<-e.exited // after its guardian, which has the same standard error
}

// checkCleanEnd scrapes and ends an exporter that came after a killed one.
func checkCleanEnd(t *testing.T, e *exporter, cache, instance string, marked []string) {
	t.Helper()
	if p := e.get("/counting-autostart.stp", "60"); p.code != 200 || !countingText.MatchString(p.body) {
		t.Errorf("after it: %d %s", p.code, p.body)
	}
	guardian := guardianOf(e.cmd.Process.Pid)
	if code := e.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if left := remains(cache, instance, marked); len(left) > 0 {
		t.Errorf("after an orderly end: %q", left)
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", guardian)); guardian == 0 || err == nil {
		t.Errorf("the guardian, process %d, is still there", guardian)
	}
}

// kill -9 of the exporter, with five scripts running, leaves nothing behind,
// and the next start finds nothing to remove.
func TestKilledExporter(t *testing.T) {
	needStap(t)
	scripts, cache := five(t), t.TempDir()
	e, instance, marked := startFive(t, scripts, cache)
	begun := time.Now()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", guardianOf(e.cmd.Process.Pid)))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nothing is left", func() bool { return len(remains(cache, instance, marked)) == 0 })
	_, rss, _ := strings.Cut(string(status), "VmRSS:")
	rss, _, _ = strings.Cut(rss, "\n")
	t.Logf(
		"of %d processes nothing is left after %v; resident memory of the guardian:%s",
		len(marked),
		time.Since(begun).Round(time.Millisecond),
		rss,
	)
	<-e.exited
	if !strings.Contains(e.logged(), "the exporter died, its guardian ended its scripts") {
		t.Error("the guardian did not say so")
	}

	next := startExporter(t, scripts, "--cache.dir="+cache)
	checkCleanEnd(t, next, cache, instance, marked)
	if strings.Contains(next.logged(), "earlier exporter left") {
		t.Error("the next start had something to remove")
	}
}

// Where the guardian is killed with its exporter, the next start removes what
// they left.
func TestKilledWithItsGuardian(t *testing.T) {
	needStap(t)
	scripts, cache := five(t), t.TempDir()
	e, instance, marked := startFive(t, scripts, cache)
	e.kill(guardianOf(e.cmd.Process.Pid), e.cmd.Process.Pid)
	eventually(t, "they are left behind", func() bool { return len(marks(cache)) > 4 })

	next := startExporter(t, scripts, "--cache.dir="+cache)
	if left := probes(marked); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	for _, m := range marked {
		pid, _, _ := strings.Cut(m, " ")
		if text, err := os.ReadFile("/proc/" + pid + "/environ"); err == nil && bytes.Contains(text, []byte(cache)) {
			t.Errorf("left: %s", m)
		}
	}
	if !strings.Contains(next.logged(), "removed what an earlier exporter left") {
		t.Error("it does not say what it removed")
	}
	checkCleanEnd(t, next, cache, instance, marked)
}

// A guardian that is killed is replaced, and the next one knows everything.
func TestKilledGuardianIsReplaced(t *testing.T) {
	needStap(t)
	scripts, cache := five(t), t.TempDir()
	e, instance, marked := startFive(t, scripts, cache)
	first := guardianOf(e.cmd.Process.Pid)
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another guardian", func() bool { return strings.Count(e.logged(), `"guardian started"`) == 2 })
	if now := guardianOf(e.cmd.Process.Pid); now == 0 || now == first {
		t.Errorf("guardian is process %d, was %d", now, first)
	}
	if n := strings.Count(e.logged(), "guardian ended, starting another"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	e.kill(e.cmd.Process.Pid)
	eventually(t, "nothing is left", func() bool { return len(remains(cache, instance, marked)) == 0 })
}
