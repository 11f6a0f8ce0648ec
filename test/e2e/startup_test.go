package e2e

import (
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"stap-exporter/internal/app"
	"stap-exporter/test/harness"
)

// failingStart is a command line that cannot work.
type failingStart struct {
	name string
	args []string
	code int
	say  []string // in the error
}

var usageErrors = []failingStart{
	{"unknown flag", []string{"--nope"}, exitUsage, []string{"--nope"}},
	{"extra argument", []string{"foo"}, exitUsage, []string{"foo"}},
	{"port is no number", []string{"-p", "abc"}, exitUsage, []string{"--port", "abc"}},
	{"port out of range", []string{"-p", "65536"}, exitUsage, []string{"--port", "65536"}},
	{"keepalive 0", []string{"-k", "0"}, exitUsage, []string{"--keepalive", `"0"`}},
	{"keepalive below 0", []string{"--keepalive=-5"}, exitUsage, []string{"--keepalive", `"-5"`}},
	{"runtime", []string{"--script.runtime=foo"}, exitUsage, []string{"--script.runtime", "foo"}},
	{
		"parallel starts",
		[]string{"--script.max-parallel-starts=0"},
		exitUsage,
		[]string{"--script.max-parallel-starts", `"0"`},
	},
	{"start timeout", []string{"--script.start-timeout=5"}, exitUsage, []string{"--script.start-timeout", `"5"`}},
	{"read timeout", []string{"--script.read-timeout=0s"}, exitUsage, []string{"--script.read-timeout", "0s"}},
	{"log level", []string{"--log.level=loud"}, exitUsage, []string{"--log.level", "loud"}},
	{"log format", []string{"--log.format=xml"}, exitUsage, []string{"--log.format", "xml"}},
	{"address", []string{"--web.listen-address=localhost"}, exitUsage, []string{"--web.listen-address", "localhost"}},
	{
		"IPv6 address without brackets",
		[]string{"--web.listen-address=::1:9900"},
		exitUsage,
		[]string{"--web.listen-address", "::1:9900"},
	},
	{"check: unknown flag", []string{"check", "--nope"}, exitUsage, []string{"--nope"}},
	{"doctor: extra argument", []string{"doctor", "foo"}, exitUsage, []string{"foo"}},
	{"guardian: unknown flag", []string{app.GuardArg, "--nope"}, exitUsage, []string{"--nope"}},
	{"launcher: no command", []string{app.LaunchArg}, exitFailure, nil},
}

// configErrors are about scripts, a directory with c.stp. taken is an address
// on which this process listens.
func configErrors(t *testing.T, scripts, taken string) []failingStart {
	missing, file, blank := scripts+"/none", filepath.Join(scripts, "c.stp"), t.TempDir()+"/a b"
	return []failingStart{
		{"no directory", []string{"-s", missing}, exitConfig, []string{missing, "--scripts"}},
		{
			"blank in the cache directory",
			[]string{"-s", scripts, "--cache.dir=" + blank},
			exitConfig,
			[]string{"a b", "--cache.dir"},
		},
		{
			"cache directory below a file",
			[]string{"-s", scripts, "--cache.dir=" + file + "/x"},
			exitConfig,
			[]string{file, "--cache.dir"},
		},
		{"a file", []string{"-s", file}, exitConfig, []string{file}},
		{
			"no stap",
			[]string{"-s", scripts, "--stap.path=/none/stap"},
			exitConfig,
			[]string{"/none/stap", "install"},
		},
		{
			"stap is a directory",
			[]string{"-s", scripts, "--stap.path=" + scripts},
			exitConfig,
			[]string{"find stap", scripts},
		},
		{
			"no runtime directory",
			[]string{"-s", scripts, "--stap.runtime-dir=" + scripts},
			exitConfig,
			[]string{"--stap.runtime-dir", scripts},
		},
		{
			"no web config",
			[]string{"-s", scripts, "--web.config.file=" + scripts + "/none.yml"},
			exitConfig,
			[]string{"none.yml"},
		},
		{"check: no directory", []string{"check", "-s", missing}, exitConfig, []string{missing, "--scripts"}},
		{"check: a file", []string{"check", "-s", file}, exitConfig, []string{file}},
		{
			"check: blank in the cache directory",
			[]string{"check", "-s", scripts, "--cache.dir=" + blank},
			exitConfig,
			[]string{"a b"},
		},
		{
			"check: no stap",
			[]string{"check", "-s", scripts, "--stap.path=/none/stap"},
			exitConfig,
			[]string{"/none/stap"},
		},
		{
			"port taken",
			[]string{"-s", scripts, "--web.listen-address=" + taken},
			exitFailure,
			[]string{taken, "--web.listen-address"},
		},
	}
}

// A start that fails writes one line, which names what is wrong, and ends with
// the right exit code.
func TestFailingStarts(t *testing.T) {
	harness.NeedStap(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	scripts := harness.ScriptDir(t, map[string]string{"c.stp": harness.Counting})
	for _, c := range append(configErrors(t, scripts, taken.Addr().String()), usageErrors...) {
		t.Run(c.name, func(t *testing.T) {
			args := c.args
			if !strings.Contains(strings.Join(args, " "), "--cache.dir") {
				args = append(args, "--cache.dir="+t.TempDir())
			}
			var out strings.Builder
			cmd := exec.Command(harness.Binary(t), args...)
			cmd.Stderr = &out
			_ = cmd.Run() // ProcessState has the result
			if code := cmd.ProcessState.ExitCode(); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, word := range c.say {
				if !strings.Contains(out.String(), word) {
					t.Errorf("does not say %q: %s", word, out.String())
				}
			}
			checkOneError(t, out.String())
		})
	}
}

// checkOneError checks that there is one line of the program, beside its log.
func checkOneError(t *testing.T, stderr string) {
	t.Helper()
	errors := 0
	for line := range strings.Lines(stderr) {
		if strings.HasPrefix(line, "stap-exporter: ") {
			errors++
		} else if !strings.HasPrefix(line, "ts=") {
			t.Errorf("unexpected line: %s", line)
		}
	}
	if errors != 1 {
		t.Errorf("%d lines with an error: %s", errors, stderr)
	}
}

func TestEmptyDirectory(t *testing.T) {
	harness.NeedStap(t)
	e := harness.Start(t, t.TempDir())
	if !strings.Contains(e.Log(), "no scripts") {
		t.Errorf("no warning: %s", e.Log())
	}
	if p := e.Get("/", ""); p.Code != 200 {
		t.Errorf("list: %d", p.Code)
	}
}

// A second exporter of the same instance does not start, whatever its cache
// directory, and does not affect the scripts of the first.
func TestSecondExporterOfTheSameInstance(t *testing.T) {
	harness.NeedStap(t)
	e := harness.Start(t, harness.ScriptDir(t, map[string]string{"c-autostart.stp": harness.Counting}))
	if p := e.Get("/c-autostart.stp", "60"); p.Code != 200 {
		t.Fatalf("%d %s", p.Code, p.Body)
	}
	for name, flags := range map[string][]string{
		"the same cache directory": nil,
		"another cache directory":  {"--cache.dir=" + t.TempDir()},
	} {
		args := e.Cmd.Args[1:]
		if flags != nil {
			args = withoutCacheDir(args)
		}
		out, err := exec.Command(e.Cmd.Path, append(args, flags...)...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), strconv.Itoa(e.Cmd.Process.Pid)) {
			t.Errorf("%s: the second exporter: %v %s", name, err, out)
		}
		if p := e.Get("/c-autostart.stp", "10"); p.Code != 200 {
			t.Errorf("%s: the first exporter answers %d %s", name, p.Code, p.Body)
		}
	}
}

func withoutCacheDir(args []string) (rest []string) {
	for _, a := range args {
		if !strings.HasPrefix(a, "--cache.dir=") {
			rest = append(rest, a)
		}
	}
	return rest
}
