package script

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"stap-exporter/internal/instance"
)

var testInst = instance.New(0, "/etc/stap-exporter", []string{":9900"})

// fill returns a new directory with an empty file of each name.
func fill(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mustScan(t *testing.T, dir string) Catalogue {
	t.Helper()
	c, err := Scan(dir, testInst, ScanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func names(scripts []Script) []string {
	var names []string
	for _, s := range scripts {
		names = append(names, s.Name)
	}
	return names
}

func TestScanNames(t *testing.T) {
	scripts := []string{ // in byte order
		" .stp",
		"%2e%2F.stp",
		"-m.stp",
		"A.stp",
		"a b  c.stp",
		"a-b.stp",
		"a.stp",
		"a.stp.stp",
		"a\\b?#\"'.stp",
		"a_b.stp",
		strings.Repeat("x", 250) + "1.stp",
		strings.Repeat("x", 250) + "2.stp",
		"~x.stp",
		"\u00e9\u65e5\U0001F600.stp",
	}
	ignored := []string{
		"readme.md",
		"stp",
		"a.STP",
		"a.stp~",
		"a.stp.bak",
		".stp",
		".hidden.stp",
		".#a.stp",
		".\xff.stp",
	}
	dir := fill(t, slices.Concat(ignored, scripts)...)
	c := mustScan(t, dir)
	if got := names(c.Scripts); !slices.Equal(got, scripts) {
		t.Errorf("got  %q\nwant %q", got, scripts)
	}
	if len(c.Refused) != 0 {
		t.Errorf("refused %v", c.Refused)
	}
	for _, s := range c.Scripts {
		want := Script{Name: s.Name, Path: filepath.Join(dir, s.Name), Module: testInst.Module(s.Name)}
		if !reflect.DeepEqual(s, want) {
			t.Errorf("got %+v, want %+v", s, want)
		}
	}
}

func TestScanRefusesNames(t *testing.T) {
	refused := map[string]string{
		"line\nbreak.stp": `control character '\n'`,
		"\x1b[31m.stp":    `control character '\x1b'`,
		"del\x7f.stp":     `control character '\x7f'`,
		"c1\u0085.stp":    `control character '\u0085'`,
		"latin1\xe9.stp":  "UTF-8",
	}
	dir := fill(t, "good.stp")
	for name := range refused {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c := mustScan(t, dir)
	checkRefused(t, c, refused)
	if got := names(c.Scripts); !slices.Equal(got, []string{"good.stp"}) {
		t.Errorf("got %q", got)
	}
}

func TestScanRefusesNonFiles(t *testing.T) {
	dir := fill(t, "good.stp", "target")
	in := func(name string) string { return filepath.Join(dir, name) }
	long := strings.Repeat("x", 300)
	if err := errors.Join(
		os.Mkdir(in("dir.stp"), 0o755),
		unix.Mkfifo(in("fifo.stp"), 0o644),
		unix.Mknod(in("socket.stp"), unix.S_IFSOCK|0o644, 0),
		os.Symlink("nowhere", in("dangling.stp")),
		os.Symlink("loop.stp", in("loop.stp")),
		os.Symlink(long, in("long.stp")),
		os.Symlink(".", in("to-dir.stp")),
		os.Symlink("/dev/null", in("to-device.stp")),
		os.Symlink("target", in("to-file.stp")),
		os.Symlink("to-file.stp", in("to-link.stp")),
	); err != nil {
		t.Fatal(err)
	}
	c := mustScan(t, dir)
	checkRefused(t, c, map[string]string{
		"dir.stp":       "a directory, not a regular file",
		"fifo.stp":      "a FIFO, not a regular file",
		"socket.stp":    "a socket, not a regular file",
		"dangling.stp":  "target of the symlink does not exist",
		"loop.stp":      "too many levels",
		"long.stp":      "name too long",
		"to-dir.stp":    "a directory, not a regular file",
		"to-device.stp": "a device, not a regular file",
	})
	if got, want := names(c.Scripts), []string{"good.stp", "to-file.stp", "to-link.stp"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	// Path is the link, so the next start uses a new target.
	if got := c.Scripts[2].Path; got != in("to-link.stp") {
		t.Errorf("path of a symlink is %q", got)
	}
}

func checkRefused(t *testing.T, c Catalogue, want map[string]string) {
	t.Helper()
	if !slices.IsSortedFunc(c.Refused, func(a, b Refusal) int { return strings.Compare(a.Name, b.Name) }) {
		t.Errorf("not sorted: %v", c.Refused)
	}
	if len(c.Refused) != len(want) {
		t.Errorf("refused %d files, want %d: %v", len(c.Refused), len(want), c.Refused)
	}
	for _, r := range c.Refused {
		if part, ok := want[r.Name]; !ok || !strings.Contains(r.Err.Error(), part) {
			t.Errorf("%q is refused with %q, want %q", r.Name, r.Err, part)
		}
	}
}

func TestScanFlags(t *testing.T) {
	dir := fill(t, "plain.stp", "x.stp", "autostart.stp", "my-autostarting-x.stp", "AUTOSTART.stp", "target")
	if err := errors.Join(
		os.Chmod(filepath.Join(dir, "x.stp"), 0o755),
		os.Chmod(filepath.Join(dir, "my-autostarting-x.stp"), 0o100),
		os.Chmod(filepath.Join(dir, "target"), 0o755),
		os.Symlink("target", filepath.Join(dir, "link.stp")),
	); err != nil {
		t.Fatal(err)
	}
	type flags struct{ executable, autostart bool }
	want := map[string]flags{
		"plain.stp":             {false, false},
		"x.stp":                 {true, false},
		"autostart.stp":         {false, true},
		"my-autostarting-x.stp": {true, true},
		"AUTOSTART.stp":         {false, false},
		"link.stp":              {true, false},
	}
	c := mustScan(t, dir)
	for _, s := range c.Scripts {
		if got := (flags{s.Executable, s.Autostart}); got != want[s.Name] {
			t.Errorf("%s: got %+v, want %+v", s.Name, got, want[s.Name])
		}
	}
	if len(c.Scripts) != len(want) {
		t.Errorf("got %q", names(c.Scripts))
	}
}

func TestScanRelativeDirectory(t *testing.T) {
	dir := fill(t, "a.stp")
	t.Chdir(dir)
	c := mustScan(t, ".")
	if len(c.Scripts) != 1 || c.Scripts[0].Path != filepath.Join(dir, "a.stp") {
		t.Errorf("got %+v", c.Scripts)
	}
}

func TestScanEmptyDirectory(t *testing.T) {
	if c := mustScan(t, t.TempDir()); len(c.Scripts)+len(c.Refused) != 0 {
		t.Errorf("got %+v", c)
	}
}

func TestScanErrors(t *testing.T) {
	dir := fill(t, "file")
	for path, want := range map[string]struct {
		cause error
		part  string
	}{
		filepath.Join(dir, "none"): {fs.ErrNotExist, "no such file or directory: create it"},
		filepath.Join(dir, "file"): {unix.ENOTDIR, "not a directory: name another"},
	} {
		_, err := Scan(path, testInst, ScanOptions{})
		if !errors.Is(err, want.cause) || !strings.Contains(err.Error(), want.part) ||
			!strings.Contains(err.Error(), path) {
			t.Errorf("got %v, want %q", err, want.part)
		}
	}
	// Root can read every directory, so this case cannot be made here.
	got := remedy(&fs.PathError{Op: "open", Path: dir, Err: unix.EACCES})
	if !strings.Contains(got, "let this user read it") {
		t.Errorf("got %q", got)
	}
}
