package script

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"stap-exporter/internal/trust"
)

func TestScanRefusal(t *testing.T) {
	dir := fill(t)
	write := func(name, text string, mode fs.FileMode) {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	write("both-autostart.stp", "// stap-exporter: x\n", 0o666)
	write("good-autostart.stp", "#!/usr/bin/stap --bpf\n", 0o755)
	write("open-autostart.stp", "// stap-exporter: keepalive=2\n", 0o666)
	write("wrong-autostart.stp", "// stap-exporter: x\n", 0o644)
	type verdict struct{ untrusted, wrong, insecure, autostart bool }
	for allow, want := range map[bool][4]verdict{
		false: {{true, true, false, false}, {autostart: true}, {untrusted: true}, {wrong: true}},
		true:  {{false, true, true, false}, {autostart: true}, {insecure: true, autostart: true}, {wrong: true}},
	} {
		c, err := Scan(dir, testInst, ScanOptions{AllowInsecure: allow})
		if err != nil || len(c.Scripts) != 4 || len(c.Refused) != 0 {
			t.Fatalf("got %+v, %v", c, err)
		}
		for i, s := range c.Scripts {
			got := verdict{
				errors.Is(s.Refused, trust.ErrUntrusted),
				errors.Is(s.Refused, ErrInvalidHeader),
				errors.Is(s.Insecure, trust.ErrUntrusted),
				s.Autostart,
			}
			if got != want[i] {
				t.Errorf("%s, allow %v: got %+v", s.Name, allow, got)
			}
		}
		if good := c.Scripts[1]; good.Executable || good.Runtime != "bpf" || good.Refused != nil {
			t.Errorf("got %+v", good)
		}
	}
}

func TestInspect(t *testing.T) {
	dir := fill(t, "a.stp", "a.txt")
	t.Chdir(dir)
	if s, err := Inspect(
		"a.stp",
		testInst,
		ScanOptions{},
	); err != nil || s.Name != "a.stp" || s.Path != filepath.Join(dir, "a.stp") ||
		s.Module != testInst.Module("a.stp") {
		t.Errorf("got %+v, %v", s, err)
	}
	for _, path := range []string{"a.txt", "none.stp", "."} {
		if _, err := Inspect(path, testInst, ScanOptions{}); err == nil {
			t.Errorf("%s is a script", path)
		}
	}
	if _, err := readHead("/dev/null"); err == nil {
		t.Error("a device has a header")
	}
}
