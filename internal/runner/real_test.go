package runner

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"stap-exporter/internal/proc"
	"stap-exporter/internal/procfile"
	"stap-exporter/internal/script"
	"stap-exporter/internal/staptest"
	"stap-exporter/internal/toolchain"
)

const tiny = `global n
probe timer.ms(10) { n["a"]++ }
probe prometheus { @prometheus_dump_array1(n, "count", "x") }
`

// realHost is SystemTap itself, with the bpf runtime. make test installs it.
func realHost(t *testing.T) *Host {
	t.Helper()
	if testing.Short() {
		t.Skip("needs SystemTap and root")
	}
	h, err := NewHost(Config{
		Runtime:  toolchain.BPF,
		Dir:      filepath.Join(t.TempDir(), "private"),
		Launcher: []string{staptest.Executable(), "as-launcher"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

func realScript(t *testing.T, module, text string) script.Script {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test script.stp")
	staptest.WriteFile(t, path, text)
	return script.Script{Name: "test script.stp", Path: path, Module: fmt.Sprintf("t%d_%s", os.Getpid(), module)}
}

func realClean(t *testing.T, h *Host, module string) {
	t.Helper()
	for _, path := range []string{
		filepath.Join(procfile.DefaultRoots().FIFO, module),
		filepath.Join(h.cfg.Dir, "run", module),
	} {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s is left", path)
		}
	}
	if left := staptest.ProcessesWith("cmdline", module); len(left) > 0 {
		t.Errorf("processes are left: %q", left)
	}
}

func mustRead(t *testing.T, file procfile.File) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), staptest.Patience)
	defer cancel()
	body, err := file.Read(ctx, nil)
	if err != nil || !bytes.HasPrefix(body, []byte(`count{x="a"} `)) {
		t.Fatalf("body is %q (%v)", body, err)
	}
}

func TestRealScript(t *testing.T) {
	h := realHost(t)
	s := realScript(t, "tiny", tiny)
	r := start(t, h, s)
	ready := r.ready()
	staptest.WaitFor(t, "a count", func() bool {
		// the first timer may not have fired yet: no keys, an empty body
		ctx, cancel := context.WithTimeout(t.Context(), staptest.Patience)
		defer cancel()
		body, err := ready.File.Read(ctx, nil)
		return err == nil && bytes.HasPrefix(body, []byte(`count{x="a"} `))
	})
	r.Stop(nil)
	// The exit code may be 1: on TERM stapbpf removes its FIFO while its own
	// reader of it may be about to open it. (Observed with SystemTap 4.8.)
	if e := r.exited(); e.Signal != 0 || e.Stage != toolchain.StageRun || len(e.Residue) > 0 {
		t.Errorf("exit is %s", e.Reason())
	}
	realClean(t, h, s.Module)
}

func TestRealSyntaxError(t *testing.T) {
	h := realHost(t)
	s := realScript(t, "syntax", "probe begin { foo( }\n")
	e := start(t, h, s).exited()
	reason := e.Reason()
	for _, want := range []string{
		"exit code 1 while compiling",
		"parse error: ",
		"source: probe begin { foo( }",
		"Pass 1: parse failed.",
	} {
		if !strings.Contains(reason, want) {
			t.Errorf("no %q in %q", want, reason)
		}
	}
	realClean(t, h, s.Module)
}

func TestRealKilledStapbpf(t *testing.T) {
	h := realHost(t)
	s := realScript(t, "killed", tiny)
	for range 2 {
		r := start(t, h, s)
		ready := r.ready()
		if err := syscall.Kill(ready.OSPID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if e := r.exited(); e.Signal != syscall.SIGKILL || e.Stopped || e.Stage != toolchain.StageRun {
			t.Errorf("exit is %s", e.Reason())
		}
		realClean(t, h, s.Module)
	}
	r := start(t, h, s)
	mustRead(t, r.ready().File)
	r.Stop(nil)
	r.exited()
	realClean(t, h, s.Module)
}

func TestRealScriptThatEndsByItself(t *testing.T) {
	h := realHost(t)
	s := realScript(t, "ends", `probe timer.ms(100) { error("had enough") }`+"\nprobe prometheus { println(1) }\n")
	e := start(t, h, s).exited()
	if e.Stopped || e.Code == 0 || !strings.Contains(e.Reason(), "ERROR: had enough") ||
		strings.Contains(e.Reason(), "\x1b") {
		t.Errorf("reason is %q", e.Reason())
	}
	realClean(t, h, s.Module)
}

func TestRealWrapper(t *testing.T) {
	h := realHost(t)
	s := realScript(t, "wrapper", "#!/bin/sh\nexec stap --bpf -e '"+tiny+"' \"$@\"\n")
	s.Executable = true
	if err := os.Chmod(s.Path, 0o700); err != nil {
		t.Fatal(err)
	}
	r := start(t, h, s)
	ready := r.ready()
	if ready.File.Abandonable {
		t.Error("stap stands in between, but the file may be abandoned")
	}
	mustRead(t, ready.File)
	r.Stop(nil)
	if e := r.exited(); len(e.Residue) > 0 {
		t.Errorf("exit is %s", e.Reason())
	}
	realClean(t, h, s.Module)
}

func TestRealStopAtEveryMoment(t *testing.T) {
	h := realHost(t)
	s := realScript(t, "moments", tiny)
	for _, activity := range []string{"pass 1: parse the script", "pass 2: analyze the script", "load", "ready"} {
		r := start(t, h, s)
		for seen := false; !seen; {
			switch e := (<-r.events).(type) {
			case Progress:
				seen = e.Activity == activity
			case Ready:
				seen = true
			case Exited:
				t.Fatalf("%s: exited: %s", activity, e.Exit.Reason())
			}
		}
		r.Stop(nil)
		if e := r.exited(); !e.Stopped || len(e.Residue) > 0 {
			t.Errorf("%s: exit is %s", activity, e.Reason())
		}
		realClean(t, h, s.Module)
	}
}

func TestRealKilledUprobesAreRemoved(t *testing.T) {
	const events = "/sys/kernel/debug/tracing/uprobe_events"
	h := realHost(t)
	if _, err := os.Stat(events); err != nil {
		t.Skipf("tracefs is not mounted, so stapbpf has no uprobes: %v", err)
	}
	libc, err := filepath.Glob("/lib*/*/libc.so.6")
	if err != nil || len(libc) == 0 {
		t.Fatal("no libc found")
	}
	text := fmt.Sprintf(
		"global n\nprobe process(%q).function(\"read\") { n[\"a\"]++ }\n"+
			"probe prometheus { @prometheus_dump_array1(n, \"count\", \"x\") }\n",
		libc[0],
	)
	for _, wrapped := range []bool{false, true} {
		s := realScript(t, "uprobe", text)
		if wrapped {
			s = realScript(t, "uprobe", "#!/bin/sh\nexec stap --bpf -e '"+text+"' \"$@\"\n")
			s.Executable = true
			if err := os.Chmod(s.Path, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		r := start(t, h, s)
		ready := r.ready()
		if out, err := exec.Command("cat", "/etc/passwd").CombinedOutput(); err != nil {
			// on a quiet machine no other process calls read
			t.Fatalf("%v: %s", err, out)
		}
		mustRead(t, ready.File)
		var probes []string // of this run: those of processes in its group
		for _, p := range proc.All() {
			if p.Group == ready.OSPID {
				probes = append(probes, fmt.Sprintf("stapprobe_%d_", p.PID))
			}
		}
		if n := countAny(t, events, probes); n != 1 {
			t.Errorf("%d probes while it runs", n)
		}
		r.Kill()
		if e := r.exited(); e.Signal != syscall.SIGKILL || len(e.Residue) > 0 {
			t.Errorf("exit is %s", e.Reason())
		}
		if n := countAny(t, events, probes); n != 0 {
			t.Errorf("%d probes are left", n)
		}
		realClean(t, h, s.Module)
	}
}

// Probes of a killed stapbpf with the launcher's own process id are removed
// before the next one begins.
func TestRealLauncherRemovesProbesOfItsID(t *testing.T) {
	realHost(t)
	const events = toolchain.TracingDir + "/uprobe_events"
	if _, err := os.Stat(events); err != nil {
		t.Skipf("tracefs is not mounted, so stapbpf has no uprobes: %v", err)
	}
	const count = `grep -c "stapprobe_$$_0 " ` + events
	script := `echo "p:uprobes/stapprobe_$$_0 /bin/cat:0x1000" >>` + events + ` && ` + count +
		` && exec "$0" as-launcher ` + toolchain.IgnoreSIGPIPE + ` /bin/sh -c '` + count + `'`
	out, _ := exec.Command("/bin/sh", "-c", script, staptest.Executable()).CombinedOutput()
	if got := strings.Fields(string(out)); !slices.Equal(got, []string{"1", "0"}) {
		t.Errorf("probes before and after: %s", out)
	}
}

func countAny(t *testing.T, path string, words []string) (n int) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range words {
		n += strings.Count(string(text), w)
	}
	return n
}
