package doctor

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"stap-exporter/internal/runner"
	"stap-exporter/internal/staptest"
)

// TestMain makes the test binary SystemTap's stand-ins (by the name it is
// called by), and the tests.
func TestMain(m *testing.M) {
	staptest.Main()
	goleak.VerifyTestMain(m)
}

func find(t *testing.T, findings []Finding, check string) Finding {
	t.Helper()
	for _, f := range findings {
		if f.Check == check {
			return f
		}
	}
	t.Fatalf("no finding %q in %+v", check, findings)
	return Finding{}
}

// A part of SystemTap that is missing is a finding, for which no Host can be
// made with every runtime.
func TestDiagnoseWithoutAPart(t *testing.T) {
	for _, missing := range []string{"stap", "stapbpf", "staprun"} {
		t.Run(missing, func(t *testing.T) {
			d := staptest.NewDir(t, "")
			t.Setenv("PATH", d.Path("bin"))
			if err := os.Remove(d.Path("bin", missing)); err != nil {
				t.Fatal(err)
			}
			findings := Diagnose(runner.Config{Dir: d.Path("private"), StartTimeout: time.Second})
			name := missing
			if missing == "stap" {
				name = "systemtap"
			}
			if f := find(t, findings, name); f.OK || f.Remedy == "" {
				t.Errorf("%+v", f)
			}
			if f := find(t, findings, CheckBPF); missing != "staprun" && (f.OK || f.Remedy == "") {
				t.Errorf("%+v", f)
			}
		})
	}
}

// A private directory that cannot be made is a finding of each runtime.
func TestDiagnoseWithoutADirectory(t *testing.T) {
	d := staptest.NewDir(t, "")
	staptest.WriteFile(t, d.Path("file"), "")
	findings := Diagnose(runner.Config{Stap: d.Path("bin", "stap"), Dir: d.Path("file", "private")})
	for _, check := range []string{CheckKernel, CheckBPF} {
		if f := find(
			t,
			findings,
			check,
		); f.OK || !strings.Contains(f.Detail, "private") ||
			!strings.Contains(f.Remedy, "--cache.dir") {
			t.Errorf("%+v", f)
		}
	}
}

func TestFindingOf(t *testing.T) {
	const text = "works{x=\"1\"} 1\n"
	for want, c := range map[string]struct {
		exit runner.Exit
		body string
		err  error
	}{
		"does not run":        {runner.Exit{Code: 1}, "", nil},
		"cannot be read":      {runner.Exit{Ready: true}, "", errors.New("no")},
		"are not what it":     {runner.Exit{Ready: true}, "x", nil},
		"left behind: module": {runner.Exit{Ready: true, Residue: []string{"module x"}}, text, nil},
	} {
		if f := findingOf(
			"bpf",
			c.exit,
			[]byte(c.body),
			c.err,
			time.Second,
		); f.OK || !strings.Contains(f.Detail, want) ||
			f.Remedy == "" {
			t.Errorf("%s: %+v", want, f)
		}
	}
	if f := findingOf("bpf", runner.Exit{Ready: true}, []byte(text), nil, time.Second); !f.OK || f.Remedy != "" {
		t.Errorf("%+v", f)
	}
}
