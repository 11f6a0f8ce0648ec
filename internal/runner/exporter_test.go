package runner

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"stap-exporter/internal/proc"
	"stap-exporter/internal/procfile"
	"stap-exporter/internal/script"
	"stap-exporter/internal/staptest"
	"stap-exporter/internal/toolchain"
)

// exporterMain is an exporter that a test can kill: a Host in STANDIN_DIR with
// a guardian. Its arguments are modules; those that begin with x are executable
// scripts. It prints when one is ready, and ends in order at the end of its
// input.
func exporterMain(modules []string) {
	dir, sys := os.Getenv("STANDIN_DIR"), os.Getenv("LAB_SYSTEM")
	bin := filepath.Join(dir, "bin")
	h, err := newHost(Config{
		Stap:        filepath.Join(bin, "stap"),
		Runtime:     toolchain.BPF,
		Dir:         filepath.Join(dir, "private"),
		Roots:       procfile.Roots{Kernel: filepath.Join(dir, "kernel"), FIFO: filepath.Join(dir, "fifo")},
		Launcher:    []string{staptest.Executable(), "as-launcher"},
		Guardian:    []string{staptest.Executable(), "as-guardian"},
		Subreaper:   true,
		MaxParallel: 100,
		Logger:      zap.NewExample(),
	}, toolchain.System{
		Release:    staptest.Release,
		LibModules: sys,
		Modules:    filepath.Join(dir, "modules"),
		Tracing:    sys,
	})
	if err != nil {
		panic(err)
	}
	var runs []*Run
	for i, m := range modules {
		s := script.Script{
			Name:       m + ".stp",
			Path:       filepath.Join(bin, "script.stp"),
			Module:     m,
			Executable: m[0] == 'x',
		}
		runs = append(runs, h.Start(s, uint64(i), func(e Event) {
			switch e := e.(type) {
			case Ready:
				fmt.Printf("ready %s %d\n", m, e.OSPID)
			case Exited:
				fmt.Printf("exited %s %q\n", m, e.Exit.Reason())
			}
		}))
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	for _, r := range runs {
		r.Stop(nil)
	}
	for _, r := range runs {
		<-r.done
	}
	h.Close()
}

// exporting is a running exporterMain.
type exporting struct {
	*lab
	cmd   *exec.Cmd
	stdin io.WriteCloser
	ready map[string]int // process ids by module
	sys   string
}

// startExporting starts it and waits until those of the modules that come up
// have.
func startExporting(l *lab, up, others []string) *exporting {
	l.t.Helper()
	e := &exporting{lab: l, ready: map[string]int{}, sys: staptest.Machine(l.t)}
	e.cmd = exec.Command(staptest.Executable(), append([]string{"as-exporter"}, append(others, up...)...)...)
	e.cmd.Env = append(os.Environ(), "LAB_SYSTEM="+e.sys)
	e.cmd.Stderr = os.Stderr
	stdout, err := e.cmd.StdoutPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	if e.stdin, err = e.cmd.StdinPipe(); err != nil {
		l.t.Fatal(err)
	}
	if err := e.cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		if e.cmd.ProcessState == nil {
			_ = e.cmd.Process.Kill()
			_ = e.cmd.Wait()
		}
	})
	lines := bufio.NewScanner(stdout)
	for len(e.ready) < len(up) && lines.Scan() {
		var module string
		var pid int
		if _, err := fmt.Sscanf(lines.Text(), "ready %s %d", &module, &pid); err == nil {
			e.ready[module] = pid
		}
		if strings.HasPrefix(lines.Text(), "exited ") {
			l.t.Fatal(lines.Text())
		}
	}
	if len(e.ready) < len(up) {
		l.t.Fatal("the exporter ended")
	}
	return e
}

// guardian returns the process id of this exporter's guardian.
func (e *exporting) guardian() int {
	for _, p := range staptest.ProcessesWith("environ", "LAB_SYSTEM="+e.sys) {
		pid, cmdline, _ := strings.Cut(p, " ")
		if strings.Contains(cmdline, "as-guardian") {
			return staptest.Atoi(pid)
		}
	}
	return 0
}

// remains lists the residue of all modules.
func (e *exporting) remains() []string {
	left := e.Processes()
	for _, dir := range []string{filepath.Join(e.dir, "fifo"), filepath.Join(e.dir, "private", "run")} {
		entries, _ := os.ReadDir(dir)
		for _, entry := range entries {
			left = append(left, filepath.Join(dir, entry.Name()))
		}
	}
	text, _ := os.ReadFile(filepath.Join(e.dir, "modules"))
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "other ") {
			left = append(left, "module "+line)
		}
	}
	return left
}

func TestNothingOutlivesAKilledExporter(t *testing.T) {
	slow(t)
	for what, replaced := range map[string]bool{"first guardian": false, "second guardian": true} {
		t.Run(what, func(t *testing.T) {
			l := newLab(t, "m1:stapbpf-ignores-term m2:compile-hangs m2:stap-leaves-grandchild "+
				"x3:script.stp-leaves-grandchild x3:script.stp-leaves-escapee escapee-ignores-term "+
				"x5:script.stp-ignores-term", nil)
			e := startExporting(l, []string{"m1", "x3", "m4", "x5"}, []string{"m2"})
			l.WaitForLog("compiling")
			if replaced {
				first := e.guardian()
				if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				staptest.WaitFor(
					t,
					"another guardian",
					func() bool { now := e.guardian(); return now != 0 && now != first },
				)
			}
			for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE} {
				staptest.WaitFor(
					t,
					"the guardian ignores signals",
					func() bool { return staptest.Ignores(t, e.guardian(), s) },
				)
				if err := syscall.Kill(e.guardian(), s); err != nil {
					t.Fatal(err)
				}
			}
			before := "p:uprobes/stapprobe_1_0 /x:0x1\n" + fmt.Sprintf(
				"p:uprobes/stapprobe_%d_0 /x:0x1\n",
				e.ready["m4"],
			)
			staptest.WriteFile(t, filepath.Join(e.sys, "uprobe_events"), before)
			if n := len(e.Processes()); n < 9 {
				t.Errorf("%d processes: %q", n, e.Processes())
			}
			begun := time.Now()
			if err := e.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = e.cmd.Wait()
			staptest.WaitFor(t, "nothing is left", func() bool { return len(e.remains()) == 0 })
			t.Logf("nothing is left after %v", time.Since(begun).Round(time.Millisecond))
			want := before + fmt.Sprintf("-:uprobes/stapprobe_%d_0\n", e.ready["m4"])
			if got, _ := os.ReadFile(filepath.Join(e.sys, "uprobe_events")); string(got) != want {
				t.Errorf("probes are %q, want %q", got, want)
			}
			again := startExporting(l, []string{"x3", "m4"}, nil)
			_ = again.stdin.Close()
			if err := again.cmd.Wait(); err != nil {
				t.Error(err)
			}
			if left := again.remains(); len(left) > 0 {
				t.Errorf("after an orderly end: %q", left)
			}
		})
	}
}

// Many runs, guardians that are killed one after the other, and an exporter
// that dies as soon as there is a new one.
func TestNewGuardianCleansUpAll(t *testing.T) {
	slow(t)
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGQUIT} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Setenv("GOTRACEBACK", "none")
			l := newLab(t, "", nil)
			var modules []string
			for i := range 50 {
				modules = append(modules, fmt.Sprintf("x%d", i))
			}
			e := startExporting(l, modules, nil)
			for range 3 {
				first := e.guardian()
				if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				staptest.WaitFor(
					t,
					"another guardian",
					func() bool { now := e.guardian(); return now != 0 && now != first },
				)
			}
			begun := time.Now()
			if err := e.cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			_ = e.cmd.Wait()
			staptest.WaitFor(t, "nothing is left", func() bool { return len(e.remains()) == 0 })
			t.Logf("nothing is left after %v", time.Since(begun).Round(time.Millisecond))
		})
	}
}

func TestNextStartWaitsForTheGuardian(t *testing.T) {
	slow(t)
	l := newLab(t, "m1:stapbpf-ignores-term", nil)
	e := startExporting(l, []string{"m1"}, nil)
	old := e.guardian()
	if err := e.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = e.cmd.Wait()
	// the guardian still waits for the TERM to do something
	again := startExporting(l, []string{"m1"}, nil)
	if _, ok := proc.Read(old); ok {
		t.Error("it did not wait")
	}
	if err := again.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = again.cmd.Wait()
	staptest.WaitFor(t, "nothing is left", func() bool { return len(again.remains()) == 0 })
}
