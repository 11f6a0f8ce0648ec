package stap

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"stap-exporter/internal/proc"
	"stap-exporter/internal/staptest"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestStartRemovesWhatADeadExporterLeft(t *testing.T) {
	l := newLab(t, "", nil)
	cfg, sys := l.host.cfg, labSystem(t, l.Path("modules"))
	cfg.ModulePrefix = "stap_exporter_01_"
	core, logs := observer.New(zapcore.InfoLevel)
	cfg.Logger = zap.New(core)

	dead := exec.Command("/bin/true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	runs := filepath.Join(cfg.Dir, "run")
	mine := l.tagged(filepath.Join(runs, "stap_exporter_01_a"))
	foreign := l.tagged("/elsewhere/run/stap_exporter_02_a")
	for _, dir := range []string{
		filepath.Join(runs, "stap_exporter_01_a", "tmp"), filepath.Join(runs, "trial"),
		filepath.Join(l.dir, "fifo", "stap_exporter_01_b"), filepath.Join(l.dir, "fifo", "trial"), filepath.Join(l.dir, "fifo", "stap_exporter_02_b"),
	} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	staptest.WriteFile(t, sys.Modules, "other 1\nstap_exporter_01_a 1\nstap_exporter_01_c 1\nstap_exporter_02_c 1\n")
	group := exec.Command("/bin/sleep", "1000") // in a group of the run, without a tag
	group.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := group.Start(); err != nil {
		t.Fatal(err)
	}
	leader, _ := proc.Read(group.Process.Pid)
	again := leader // its id belonged to another process
	again.PID, again.Started = foreign.Process.Pid, "1"
	self := again
	self.PID = os.Getpid()
	Record(filepath.Join(runs, "trial"), proc.Process{PID: dead.Process.Pid}, leader, again, self)
	probes := fmt.Sprintf(
		"p:uprobes/stapprobe_%d_0 /x:0x1\np:uprobes/stapprobe_%d_0 /x:0x1\np:uprobes/stapprobe_99_0 /x:0x1\n",
		dead.Process.Pid,
		os.Getpid(),
	)
	staptest.WriteFile(t, filepath.Join(sys.Tracing, "uprobe_events"), probes)

	h, err := newHost(cfg, sys)
	if err != nil {
		t.Fatal(err)
	}
	h.Close()
	if err := mine.Wait(); err == nil || mine.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("the marked process: %v", mine.ProcessState)
	}
	if err := group.Wait(); err == nil || group.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("the process of a recorded group: %v", group.ProcessState)
	}
	if text, _ := os.ReadFile(sys.Modules); string(text) != "other 1\nstap_exporter_02_c 1\n" {
		t.Errorf("modules are %q", text)
	}
	for dir, want := range map[string]string{runs: "", filepath.Join(l.dir, "fifo"): "stap_exporter_02_b"} {
		var names []string
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			names = append(names, e.Name())
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s has %q, want %q", dir, got, want)
		}
	}
	if got, _ := os.ReadFile(
		filepath.Join(sys.Tracing, "uprobe_events"),
	); string(
		got,
	) != probes+fmt.Sprintf(
		"-:uprobes/stapprobe_%d_0\n",
		dead.Process.Pid,
	) {
		t.Errorf("probes are %q", got)
	}
	if err := foreign.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the process of another exporter: %v", err)
	}
	said := logs.FilterMessage("removed what an earlier exporter left").All()
	if len(said) != 1 ||
		fmt.Sprint(
			said[0].ContextMap()["modules"],
		) != "[stap_exporter_01_a stap_exporter_01_b stap_exporter_01_c trial]" {
		t.Errorf("logged: %v", said)
	}
	if h, err = newHost(cfg, sys); err != nil {
		t.Fatal(err)
	}
	h.Close()
	if n := logs.FilterMessage("removed what an earlier exporter left").Len(); n != 1 {
		t.Error("a clean start says that something was removed")
	}
	_ = foreign.Process.Kill()
	_ = foreign.Wait()
}

// tagged starts a process with a run tag.
func (l *lab) tagged(work string) *exec.Cmd {
	l.t.Helper()
	cmd := exec.Command("/bin/sleep", "1000")
	cmd.Env = proc.WithTag(os.Environ(), work)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = cmd.Process.Kill() })
	staptest.WaitFor(l.t, "it is marked", func() bool { return len(proc.Tagged(work).Find()) == 1 })
	return cmd
}
