package modcache

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"stap-exporter/internal/fileid"
	"stap-exporter/internal/staptest"
)

func TestExecutablesOf(t *testing.T) {
	dir := t.TempDir()
	prog := staptest.PutExecutable(t, filepath.Join(dir, "prog"), "/bin/true")
	link := filepath.Join(dir, "link")
	if err := os.Symlink(prog, link); err != nil {
		t.Fatal(err)
	}
	resolved, err := filepath.EvalSymlinks("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", "/bin")
	for _, c := range []struct {
		name, module, script string
		want                 []string // NAME>PATH
		err                  string
	}{
		{name: "nothing", module: "\x00abc\x00", script: "probe begin { }"},
		{name: "path in the module", module: "\x00" + prog + "\x00", want: []string{prog + ">" + prog}},
		{name: "path in a probe point", module: `x process("` + prog + `").begin`, want: []string{prog + ">" + prog}},
		{
			name:   "path in a quoted probe point",
			module: `x process(\"` + prog + `\").library(\"` + link + `\")`,
			want:   []string{link + ">" + prog, prog + ">" + prog},
		},
		{
			name:   "link in the script",
			module: "\x00" + prog + "\x00",
			script: `probe process("` + link + `")`,
			want:   []string{link + ">" + prog, prog + ">" + prog},
		},
		{name: "name in the script", script: `@cast(p, "x", "true")`, want: []string{"true>" + resolved}},
		{
			name:   "no executable",
			module: "\x00/etc/passwd\x00/nowhere\x00/dev/null\x00/bin\x00",
			script: `"/etc/passwd"`,
		},
		{
			name:   "optional probes",
			script: `probe process("/nowhere").begin ?, process("no-such-name").begin ?`,
			want:   []string{"/nowhere>", "no-such-name>"},
		},
		{name: "missing", module: `process("/nowhere").begin`, err: "probed executable /nowhere"},
		{
			name:   "missing library",
			module: `process("` + prog + `").library("/nowhere")`,
			err:    "probed executable /nowhere",
		},
		{name: "text file", module: `process("/etc/passwd").begin`, err: "not an ELF file"},
		{name: "process id", module: `process(12).begin`, err: "by its process id"},
		{name: "pattern", script: `probe process( "/bin/*").begin`, err: "by a pattern"},
		{
			name:   "pattern of functions",
			script: `probe process("` + prog + `").function("a*")`,
			want:   []string{prog + ">" + prog},
		},
	} {
		found, err := executablesOf([]byte(c.module), []byte(c.script), time.Now())
		var got []string
		for _, e := range found {
			got = append(got, e.Name+">"+e.Path)
			if e.BuildID == "" && e.Path != "" {
				t.Errorf("%s: %s has no build-id", c.name, e.Path)
			}
			if err := e.changed(); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		if !slices.Equal(got, c.want) || (err == nil) != (c.err == "") ||
			err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: got %q (%v), want %q (%s)", c.name, got, err, c.want, c.err)
		}
	}
	info, _ := os.Stat(prog)
	begun := time.Unix(0, fileid.StampOf(info).CTime)
	if _, err := executablesOf([]byte("\x00"+prog+"\x00"), nil, begun); err == nil {
		t.Error("no error for an executable that changed during the compile")
	}
}

func TestExecutableChanged(t *testing.T) {
	dir := t.TempDir()
	prog := filepath.Join(dir, "prog")
	for name, change := range map[string]func(){
		"replaced":             func() { staptest.PutExecutable(t, prog, "/bin/false") },
		"replaced by an equal": func() { staptest.PutExecutable(t, prog, "/bin/true") },
		"removed":              func() { _ = os.Remove(prog) },
		"text file":            func() { staptest.WriteFile(t, prog, "x") },
		"link to another":      func() { _ = os.Remove(prog); _ = os.Symlink("/bin/true", prog) },
	} {
		_ = os.Remove(prog)
		e, err := identify(staptest.PutExecutable(t, prog, "/bin/true"))
		if err != nil {
			t.Fatal(err)
		}
		change()
		if e.changed() == nil {
			t.Errorf("%s: not noticed", name)
		}
	}
}
