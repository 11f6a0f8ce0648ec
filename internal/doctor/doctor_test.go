package doctor

import (
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"stap-exporter/internal/runner"
	"stap-exporter/internal/staptest"
)

// TestMain lets the test binary also be, by the name that it is called by, the
// stand-ins for SystemTap's executables.
func TestMain(m *testing.M) {
	staptest.Main()
	goleak.VerifyTestMain(m)
}

// find returns the finding of one check.
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

// A missing executable of SystemTap is a finding, although there is then no
// Host for some runtime.
func TestDiagnoseWithoutAnExecutable(t *testing.T) {
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
				t.Errorf("want a failure with a remedy: %+v", f)
			}
			if f := find(t, findings, CheckBPF); missing != "staprun" && (f.OK || f.Remedy == "") {
				t.Errorf("want a failure with a remedy: %+v", f)
			}
		})
	}
}

// A private directory that cannot be created is a finding for each runtime.
func TestDiagnoseWithoutADirectory(t *testing.T) {
	d := staptest.NewDir(t, "")
	staptest.WriteFile(t, d.Path("file"), "")
	findings := Diagnose(runner.Config{Stap: d.Path("bin", "stap"), Dir: d.Path("file", "private")})
	for _, check := range []string{CheckKernel, CheckBPF} {
		f := find(t, findings, check)
		if f.OK || !strings.Contains(f.Detail, "private") || !strings.Contains(f.Remedy, "--cache.dir") {
			t.Errorf("want a failure with the directory and a remedy: %+v", f)
		}
	}
}
