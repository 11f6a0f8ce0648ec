package cleanup

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"stap-exporter/internal/proc"
	"stap-exporter/internal/staptest"
)

// tagged starts a process with a run tag, in a group of its own.
func tagged(t *testing.T, work string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/bin/sleep", "1000")
	cmd.Env = proc.WithTag(os.Environ(), work)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	staptest.WaitFor(t, "the process has the run tag", func() bool { return len(proc.Tagged(work).Find()) == 1 })
	return cmd
}

// endedByTERM fails the test unless TERM ended the process.
func endedByTERM(t *testing.T, what string, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("%s: %v", what, cmd.ProcessState)
	}
}

func TestAllCleansUpAfterADeadExporter(t *testing.T) {
	d, tracing := staptest.NewDir(t, ""), t.TempDir()
	c := Cleaner{
		Staprun:   d.Path("bin", "staprun"),
		Modules:   d.Path("modules"),
		FIFORoot:  d.Path("fifo"),
		Tracing:   tracing,
		Dir:       d.Path("private"),
		Prefix:    "stap_exporter_01_",
		TermGrace: staptest.Patience,
		KillGrace: staptest.Patience,
		Wait:      staptest.Patience,
	}
	runs := d.Path("private", "run")
	dead := exec.Command("/bin/true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	mine := tagged(t, filepath.Join(runs, "stap_exporter_01_a"))
	lost := tagged(t, filepath.Join(runs, "gone")) // without a work directory
	foreign := tagged(t, "/elsewhere/run/stap_exporter_02_a")
	for _, dir := range []string{
		filepath.Join(runs, "stap_exporter_01_a", "tmp"),
		filepath.Join(runs, "unprefixed"),
		d.Path("fifo", "stap_exporter_01_b"),
		d.Path("fifo", "unprefixed"),
		d.Path("fifo", "stap_exporter_02_b"),
	} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	modules := "other 1\nstap_exporter_01_a 1\nstap_exporter_01_c 1\nstap_exporter_02_c 1\ngone 1\n"
	staptest.WriteFile(t, c.Modules, modules)

	group := exec.Command("/bin/sleep", "1000") // in a recorded group, without a tag
	group.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := group.Start(); err != nil {
		t.Fatal(err)
	}
	leader, _ := proc.Read(group.Process.Pid)
	again := leader // a recorded process whose id another process has now
	again.PID, again.Started = foreign.Process.Pid, "1"
	self := again
	self.PID = os.Getpid()
	Record(filepath.Join(runs, "unprefixed"), proc.Process{PID: dead.Process.Pid}, leader, again, self)
	var probes strings.Builder
	for _, pid := range []int{dead.Process.Pid, os.Getpid(), 99} {
		fmt.Fprintf(&probes, "p:uprobes/stapprobe_%d_0 /x:0x1\n", pid)
	}
	staptest.WriteFile(t, filepath.Join(tracing, "uprobe_events"), probes.String())

	found := c.All()
	endedByTERM(t, "the process with a tag", mine)
	endedByTERM(t, "the process with a tag, without a work directory", lost)
	endedByTERM(t, "the process of a recorded group", group)
	if text, _ := os.ReadFile(c.Modules); string(text) != "other 1\nstap_exporter_02_c 1\n" {
		t.Errorf("loaded modules are %q", text)
	}
	for dir, want := range map[string]string{runs: "", c.FIFORoot: "stap_exporter_02_b"} {
		var names []string
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			names = append(names, e.Name())
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s contains %q, want %q", dir, got, want)
		}
	}
	want := probes.String() + fmt.Sprintf("-:uprobes/stapprobe_%d_0\n", dead.Process.Pid)
	if got, _ := os.ReadFile(filepath.Join(tracing, "uprobe_events")); string(got) != want {
		t.Errorf("probes are %q, want %q", got, want)
	}
	if err := foreign.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the process of another exporter: %v", err)
	}
	names := []string{"gone", "stap_exporter_01_a", "stap_exporter_01_b", "stap_exporter_01_c", "unprefixed"}
	if !slices.Equal(found.Modules, names) || len(found.Processes) != 3 || len(found.Residue) > 0 {
		t.Errorf("found %+v", found)
	}
	if found := c.All(); !found.Nothing() {
		t.Errorf("the second call found %+v", found)
	}
	_ = foreign.Process.Kill()
	_ = foreign.Wait()
}
