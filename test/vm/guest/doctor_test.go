//go:build vm

package guest

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// doctor runs stap-exporter doctor and returns its exit code and its output.
func doctor(t *testing.T, as string, env []string, before ...string) (code int, out string) {
	t.Helper()
	cache := tempDir(t) + "/cache"
	args := append(append([]string{}, before...), "/in/stap-exporter", "doctor")
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	if as != "" {
		a := lookup(t, as)
		a.apply(cmd)
		cache = a.home + "/cache-doctor"
	}
	cmd.Args = append(cmd.Args, "--cache.dir="+cache, "-s", scriptDir(t, nil))
	text, _ := cmd.CombinedOutput() // ProcessState has the result
	t.Logf("doctor %s %q:\n%s", as, before, text)
	return cmd.ProcessState.ExitCode(), string(text)
}

func checkDoctor(t *testing.T, code int, out string, wantCode int, words ...string) {
	t.Helper()
	if code != wantCode {
		t.Errorf("exit code %d, want %d", code, wantCode)
	}
	for _, w := range words {
		if !strings.Contains(out, w) {
			t.Errorf("does not contain %q", w)
		}
	}
}

// The module of doctor's probe is compiled by the real make. The packaged
// runtime fails, with a remedy; bpf works, so the exit code is 0.
func doctorPackaged(t *testing.T) {
	code, out := doctor(t, "", realMake(t, "runtime"))
	checkDoctor(t, code, out, 0, "newer SystemTap", "--stap.runtime-dir", "bpf")
}

func doctorLacks(t *testing.T) {
	code, out := doctor(t, "", nil, hideHeaders(t)...)
	checkDoctor(t, code, out, 0, "linux-headers")
	code, out = doctor(t, "", nil, dropSysModule...)
	checkDoctor(t, code, out, 0, "CAP_SYS_MODULE")
	code, out = doctor(t, "plain", nil)
	checkDoctor(t, code, out, 1, "stapdev")
	note(t, "headers, CAP_SYS_MODULE and groups are named")
}
