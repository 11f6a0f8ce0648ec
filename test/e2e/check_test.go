package e2e

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"stap-exporter/internal/doctor"
	"stap-exporter/test/harness"
)

// command runs the exporter with a subcommand and returns its output and its
// exit code.
func command(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, err strings.Builder
	cmd := exec.Command(harness.Binary(t), append(args, "--cache.dir="+t.TempDir())...)
	cmd.Stdout, cmd.Stderr = &out, &err
	_ = cmd.Run() // ProcessState has the result
	return out.String(), err.String(), cmd.ProcessState.ExitCode()
}

func contains(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("does not contain %q:\n%s", w, text)
		}
	}
}

func TestCheck(t *testing.T) {
	harness.NeedStap(t)
	dir := harness.ScriptDir(t, map[string]string{
		"good.stp":      "// stap-exporter: keepalive=300\n" + harness.Counting,
		"syntax.stp":    "probe begin { foo( }\n",
		"directive.stp": "// stap-exporter: keepalive=zero\n" + harness.Counting,
		"wrapper.stp":   "#!/bin/sh\nexec stap \"$@\" x.stp\n",
		"open.stp":      harness.Counting,
	})
	if err := os.Chmod(filepath.Join(dir, "open.stp"), 0o666); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		foreign := filepath.Join(dir, "foreign.stp")
		if err := errors.Join(
			os.WriteFile(foreign, []byte(harness.Counting), 0o644),
			os.Chown(foreign, 65534, 65534),
		); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		args []string
		code int
		say  []string
	}{
		"good": {[]string{"good.stp"}, 0, []string{"accepts it", "bpf", "on request"}},
		"compiled": {
			[]string{"--compile", filepath.Join(dir, "good.stp")},
			0,
			[]string{"accepts it"},
		},
		"syntax error": {[]string{"syntax.stp"}, 1, []string{"parse error", "syntax.stp:1:20"}},
		"wrong directive": {
			[]string{"directive.stp"},
			1,
			[]string{"directive.stp:1", `keepalive="zero"`, "want"},
		},
		"wrapper":      {[]string{"wrapper.stp"}, 0, []string{"cannot be validated without running it"}},
		"others write": {[]string{"open.stp"}, 1, []string{"is writable by all users", "chmod go-w"}},
		"wrong owner":  {[]string{"foreign.stp"}, 1, []string{"foreign.stp", "chown root"}},
		"all": {
			nil,
			1,
			[]string{"good.stp", "syntax.stp", "directive.stp", "wrapper.stp", "open.stp"},
		},
		"none": {[]string{"nope.stp"}, 1, []string{"nope.stp"}},
	} {
		t.Run(name, func(t *testing.T) {
			out, errs, code := command(t, append([]string{"check", "-s", dir}, c.args...)...)
			if code != c.code {
				t.Errorf("exit code %d, want %d: %s", code, c.code, errs)
			}
			contains(t, out, c.say...)
			if (code == 1) != strings.Contains(errs, "scripts are wrong") {
				t.Errorf("stderr: %s", errs)
			}
		})
	}
}

func TestCheckWithoutStap(t *testing.T) {
	_, errs, code := command(t, "check", "-s", t.TempDir(), "--stap.path=/none/stap")
	if code != exitConfig {
		t.Errorf("exit code %d", code)
	}
	contains(t, errs, "/none/stap", "apt install systemtap")
}

func TestDoctor(t *testing.T) {
	harness.NeedStap(t)
	out, errs, code := command(t, "doctor", "--json", "-s", shipped)
	if code != 0 {
		t.Errorf("exit code %d: %s", code, errs)
	}
	var findings []doctor.Finding
	if err := json.Unmarshal([]byte(out), &findings); err != nil {
		t.Fatal(err)
	}
	seen := map[string]doctor.Finding{}
	for _, f := range findings {
		seen[f.Check] = f
		if f.OK == (f.Remedy != "") {
			t.Errorf("a finding must be good or have a remedy: %+v", f)
		}
	}
	for _, name := range []string{
		"systemtap", "compiler", "kernel headers", "kernel debuginfo", "module loading", "tracefs", "memlock limit",
		"user", "cache directory", "scripts", doctor.CheckKernel, doctor.CheckBPF,
	} {
		if _, ok := seen[name]; !ok {
			t.Errorf("no finding about %s", name)
		}
	}
	if !seen[doctor.CheckBPF].OK || !strings.Contains(seen["systemtap"].Detail, "version") {
		t.Errorf("bpf: %+v, systemtap: %+v", seen[doctor.CheckBPF], seen["systemtap"])
	}
}

// theirStap is a stap that another user can change.
func theirStap(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to change the owner of files")
	}
	path := filepath.Join(t.TempDir(), "stap")
	if err := errors.Join(os.WriteFile(path, []byte("#!/bin/false\n"), 0o755), os.Chown(path, 54321, 0)); err != nil {
		t.Fatal(err)
	}
	return path
}

// A stap that another user can change runs in no command.
func TestUntrustedStap(t *testing.T) {
	path := theirStap(t)
	reason := path + `" is owned by user 54321: run chown root "`
	scripts := harness.ScriptDir(t, map[string]string{"c.stp": harness.Counting})
	_, errs, code := command(t, "-s", scripts, "--stap.path="+path)
	if code != exitConfig {
		t.Errorf("serve: exit code %d", code)
	}
	contains(t, errs, reason, "or name another with --stap.path")
	_, errs, code = command(t, "check", "-s", scripts, "--stap.path="+path)
	if code != exitConfig {
		t.Errorf("check: exit code %d", code)
	}
	contains(t, errs, reason)
	out, _, code := command(t, "doctor", "-s", scripts, "--stap.path="+path)
	if code != 1 {
		t.Errorf("doctor: exit code %d", code)
	}
	contains(t, out, reason, "or name another with --stap.path")
}

func TestDoctorWithoutStap(t *testing.T) {
	out, errs, code := command(t, "doctor", "-s", shipped, "--stap.path=/none/stap")
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	contains(t, out, "apt install systemtap", "kernel headers")
	contains(t, errs, "no runtime works")
}
