//go:build vm

package guest

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// doctor runs "stap-exporter doctor" and returns its exit code and what it
// wrote.
func doctor(t *testing.T, as string, env []string, before ...string) (code int, out string) {
	t.Helper()
	cache := tempDir(t) + "/cache"
	args := append(append([]string{}, before...), "/in/stap-exporter", "doctor")
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	if as != "" {
		a := lookup(t, as)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: a.credential}
		cmd.Env = append(cmd.Env, "HOME="+a.home, "USER="+as)
		cache = a.home + "/cache-doctor"
	}
	cmd.Args = append(cmd.Args, "--cache.dir="+cache, "-s", folder(t, nil))
	text, _ := cmd.CombinedOutput() // the exit code tells
	t.Logf("doctor %s %q:\n%s", as, before, text)
	return cmd.ProcessState.ExitCode(), string(text)
}

func doctorSays(t *testing.T, code int, out string, wantCode int, words ...string) {
	t.Helper()
	if code != wantCode {
		t.Errorf("exit code %d, want %d", code, wantCode)
	}
	for _, w := range words {
		if !strings.Contains(out, w) {
			t.Errorf("does not say %q", w)
		}
	}
}

// The module that doctor tries is compiled for real. The packaged runtime
// fails, named with the mend; bpf works, so the exit code is 0.
func doctorPackaged(t *testing.T) {
	code, out := doctor(t, "", realMake(t, "runtime"))
	doctorSays(t, code, out, 0, "newer SystemTap", "--stap.runtime-dir", "bpf")
}

func doctorLacks(t *testing.T) {
	code, out := doctor(t, "", nil, hideHeaders(t)...)
	doctorSays(t, code, out, 0, "linux-headers")
	code, out = doctor(t, "", nil, dropSysModule...)
	doctorSays(t, code, out, 0, "CAP_SYS_MODULE")
	code, out = doctor(t, "plain", nil)
	doctorSays(t, code, out, 1, "stapdev")
	note(t, "headers, CAP_SYS_MODULE and groups are named")
}
