package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"stap-exporter/test/harness"
)

// install runs packaging/install with dir for the root directory, and returns
// its output.
func install(t *testing.T, dir, direction string, env ...string) string {
	t.Helper()
	cmd := exec.Command("../../packaging/install", direction)
	cmd.Env = append(
		os.Environ(),
		append([]string{"BINARY=" + harness.Binary(t), "DESTDIR=" + dir, "PREFIX=/usr"}, env...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("install %s: %v\n%s", direction, err, out)
	}
	return string(out)
}

func files(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		list = append(list, fmt.Sprintf("%o %s", info.Mode().Perm(), strings.TrimPrefix(path, dir)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestInstall(t *testing.T) {
	dir := t.TempDir()
	want := []string{
		"644 /etc/default/stap-exporter",
		"644 /etc/stap-exporter/example.stp",
		"644 /etc/stap-exporter/reads-by-process-autostart.stp",
		"644 /usr/lib/systemd/system/stap-exporter.service",
		"644 /usr/lib/systemd/system/stap-exporter.socket",
		"755 /usr/sbin/stap-exporter",
		"644 /usr/share/man/man8/stap-exporter.8",
	}
	install(t, dir, "to")
	if got := files(t, dir); !slices.Equal(got, want) {
		t.Errorf("installed %q", got)
	}
	changed := filepath.Join(dir, "etc/default/stap-exporter")
	if err := os.WriteFile(changed, []byte("PORT=\"-p 9999\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := install(t, dir, "to"); !strings.Contains(out, "kept as it is: "+changed) {
		t.Errorf("installed again: %q", out)
	}
	if text, _ := os.ReadFile(changed); string(text) != "PORT=\"-p 9999\"\n" {
		t.Errorf("overwritten with %q", text)
	}
	out := install(t, dir, "from")
	if got := files(t, dir); !slices.Equal(got, want[:1]) ||
		!strings.Contains(out, "left, since it was changed: "+changed) {
		t.Errorf("left %q, output %q", got, out)
	}
}

// systemd-analyze accepts the units.
func TestUnits(t *testing.T) {
	harness.NeedProgram(t, "systemd-analyze")
	dir := t.TempDir()
	install(t, "", "to", "PREFIX="+dir, "SYSCONFDIR="+dir+"/etc")
	units := dir + "/lib/systemd/system/stap-exporter."
	verify := exec.Command("systemd-analyze", "verify", "--man=no", units+"service", units+"socket")
	if out, err := verify.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	// The exposure level, in tenths: 5.3 with systemd 252. The unit has the
	// reasons why it is not lower.
	security := exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=60", units+"service")
	if out, err := security.CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
	text, err := os.ReadFile(units + "service")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte("\nExecStart="+dir+"/sbin/stap-exporter $PORT $KEEPALIVE $SCRIPTS $OPTIONS\n")) {
		t.Errorf("unit starts something else:\n%s", text)
	}
}

// The unit starts the exporter again after a crash, as by SIGQUIT, and not
// after an error that another start would have, too.
func TestRestartAfterCrash(t *testing.T) {
	text, err := os.ReadFile("../../packaging/systemd/stap-exporter.service")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "\nRestartPreventExitStatus=")
	line, _, _ := strings.Cut(after, "\n")
	want := fmt.Sprint(exitUsage, " ", exitConfig)
	if line != want || !strings.Contains(string(text), "\nRestart=on-failure\n") {
		t.Errorf("not started again after %q, want %q", line, want)
	}
	harness.NeedStap(t)
	e := harness.Start(t, idle(t))
	code := e.Stop(syscall.SIGQUIT)
	if slices.Contains([]int{exitOK, exitFailure, exitUsage, exitConfig}, code) || code < 0 {
		t.Errorf("a crash has exit code %d, which has another meaning", code)
	}
	if slices.Contains(strings.Fields(line), strconv.Itoa(code)) {
		t.Errorf("not started again after a crash, exit code %d", code)
	}
}
