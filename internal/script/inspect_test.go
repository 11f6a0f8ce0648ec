package script

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
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
	type result struct{ untrusted, invalid, insecure, autostart bool }
	for allow, want := range map[bool][4]result{
		false: {
			{untrusted: true, invalid: true},
			{autostart: true},
			{untrusted: true},
			{invalid: true},
		},
		true: {
			{invalid: true, insecure: true},
			{autostart: true},
			{insecure: true, autostart: true},
			{invalid: true},
		},
	} {
		c, err := Scan(dir, testInst, ScanOptions{AllowInsecure: allow})
		if err != nil || len(c.Scripts) != 4 || len(c.Refused) != 0 {
			t.Fatalf("got %+v, %v", c, err)
		}
		for i, s := range c.Scripts {
			got := result{
				untrusted: errors.Is(s.Refused, trust.ErrUntrusted),
				invalid:   errors.Is(s.Refused, ErrInvalidHeader),
				insecure:  errors.Is(s.Insecure, trust.ErrUntrusted),
				autostart: s.Autostart,
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
	s, err := Inspect("a.stp", testInst, ScanOptions{})
	if err != nil || s.Name != "a.stp" || s.Path != filepath.Join(dir, "a.stp") ||
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

// fileInfo is a file of user 1000 and group 100.
type fileInfo struct {
	fs.FileInfo
	mode fs.FileMode
}

func (f fileInfo) Mode() fs.FileMode { return f.mode }

func (f fileInfo) Sys() any { return &syscall.Stat_t{Uid: 1000, Gid: 100} }

func TestMayExecute(t *testing.T) {
	const user, group, stranger = 1000, 100, 7
	for _, c := range []struct {
		id   trust.Identity
		mode fs.FileMode
		want bool
	}{
		{trust.Identity{}, 0o644, false},
		{trust.Identity{}, 0o001, true},
		{trust.Identity{UID: user, Groups: []int{group}}, 0o100, true},
		// only the owner's bits count
		{trust.Identity{UID: user, Groups: []int{group}}, 0o011, false},
		{trust.Identity{UID: stranger, Groups: []int{1, group}}, 0o010, true},
		{trust.Identity{UID: stranger, Groups: []int{1, group}}, 0o101, false},
		{trust.Identity{UID: stranger, Groups: []int{1}}, 0o001, true},
		{trust.Identity{UID: stranger, Groups: []int{1}}, 0o770, false},
	} {
		if got := mayExecute(c.id, fileInfo{mode: c.mode}); got != c.want {
			t.Errorf("%+v, mode %v: got %v", c.id, c.mode, got)
		}
	}
}
