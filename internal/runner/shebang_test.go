package runner

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stap-exporter/internal/instance"
	"stap-exporter/internal/script"
)

// TestRealShebang runs executables whose first line names a stap that is not
// there: --stap.path takes its place, and its options, which the kernel would
// hand over as one argument, arrive.
func TestRealShebang(t *testing.T) {
	h := realHost(t)
	for _, line := range []string{"#!/nowhere/stap -v --bpf", "#!/usr/bin/env -S stap -w -gDX=1"} {
		path := filepath.Join(t.TempDir(), "test script.stp")
		if err := os.WriteFile(path, []byte(line+"\n"+tiny), 0o700); err != nil {
			t.Fatal(err)
		}
		s, err := script.Inspect(
			path,
			instance.New(os.Getuid(), filepath.Dir(path), nil),
			script.ScanOptions{AllowInsecure: true},
		)
		if err != nil || s.Refused != nil || s.Executable {
			t.Fatalf("%s: %+v (%v)", line, s, err)
		}
		r := start(t, h, s)
		ready := r.ready()
		if !ready.File.FIFO || !ready.File.Abandonable || !ready.Compiled {
			t.Errorf("%s: %+v", line, ready)
		}
		r.Stop(nil)
		if e := r.exited(); len(e.Residue) > 0 {
			t.Errorf("%s: exit is %s", line, e.Reason())
		}
		realClean(t, h, s.Module)
	}
}

func TestShebangBecomesTwoStages(t *testing.T) {
	l := kernelLab(t, "", nil)
	path := filepath.Join(l.dir, "x.stp")
	if err := os.WriteFile(path, []byte("#!/usr/bin/stap -v -s 3\nprobe begin { }\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := script.Inspect(path, instance.New(0, l.dir, nil), script.ScanOptions{AllowInsecure: true})
	if err != nil || s.Executable {
		t.Fatalf("%+v (%v)", s, err)
	}
	l.want(1, "first start", s)
	l.want(0, "second start", s)
	log, _ := os.ReadFile(filepath.Join(l.dir, "log"))
	lines := strings.Split(string(log), "\n")
	for _, want := range []string{
		"stap -v -p4 -m " + s.Module + " -v -s 3 " + path,
		"staprun -b 3 " + s.Module + ".ko",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("no %q in %q", want, lines)
		}
	}
}
