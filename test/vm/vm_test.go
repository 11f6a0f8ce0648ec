//go:build vm

package vm

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var (
	only    = flag.String("scenario", "", "run the scenarios whose name matches this regular expression")
	prepare = flag.Bool("prepare", false, "build the guest and compile the modules, and run no scenario")
	binary  = flag.String("exporter", "", "test this static binary instead of building one")
)

// TestGuest runs the scenarios of package guest in the guest and prints them as
// a table.
func TestGuest(t *testing.T) {
	b := newBed(t)
	if *prepare {
		return
	}
	if err := os.WriteFile(filepath.Join(b.in, "env"), []byte(environment), 0o644); err != nil {
		t.Fatal(err)
	}
	args := "-test.run=TestScenarios/(all|kernel)/(" + strings.ReplaceAll(*only, " ", "_") + ")"
	rows := &table{t: t}
	if err := os.WriteFile(filepath.Join(b.in, "args"), []byte(args), 0o644); err != nil {
		t.Fatal(err)
	}
	status := b.run(rows.see)
	rows.print()
	if status != 0 {
		t.Errorf("the scenarios ended with status %d", status)
	}
	if len(rows.rows) == 0 {
		t.Error("no scenario ran")
	}
}

// environment of the scenarios, as shell commands. The exporter and stap
// inherit it.
const environment = `
export SYSTEMTAP_RUNTIME=/usr/share/systemtap/runtime-patched SYSTEMTAP_TAPSET=/usr/share/systemtap/tapset-small
`
