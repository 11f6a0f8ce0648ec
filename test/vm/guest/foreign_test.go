//go:build vm

package guest

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"stap-exporter/test/harness"
)

// foreign starts stap as another program would, and returns when its module
// answers.
func foreign(t *testing.T, module string) {
	t.Helper()
	cmd := exec.Command("stap", "-m", module, "/in/scripts/counting.stp")
	cmd.Dir = tempDir(t)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // by the signal, or at the end
		_ = exec.Command("staprun", "-d", module).Run()
	})
	eventually(t, module+" is up", func() bool { return exists("/proc/systemtap/" + module + "/__prometheus") })
}

// Starts, kills and stops of an exporter affect neither the modules of another
// exporter, nor one whose name looks like an exporter's, nor other modules.
func othersModules(t *testing.T) {
	like, plain := "stap_exporter_deadbeef_counting_0123456789ab", "somebody_elses"
	foreign(t, like)
	foreign(t, plain)
	other := start(t, setup{scripts: map[string]string{"counting.stp": text(t, "counting")}})
	other.metrics("/counting.stp")

	e := start(t, setup{scripts: map[string]string{"counting-autostart.stp": text(t, "counting")}})
	seq := readFiveTimes(e, "/counting-autostart.stp")
	eventually(t, "stapio is killed", func() bool {
		pid := find("stapio", e.module("counting-autostart.stp"))
		return pid != 0 && syscall.Kill(pid, syscall.SIGKILL) == nil
	})
	waitForNextRun(e, "/counting-autostart.stp", seq)
	e.stopClean()

	for _, m := range []string{like, plain, other.module("counting.stp")} {
		if body, err := os.ReadFile(
			"/proc/systemtap/" + m + "/__prometheus",
		); err != nil ||
			!harness.CountingText.Match(body) {
			t.Errorf("%s: %v %q", m, err, body)
		}
	}
	other.stopClean()
}
