package modcache

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"stap-exporter/internal/fileid"
	"stap-exporter/internal/staptest"
)

func TestProgramsOf(t *testing.T) {
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
		{"nothing", "\x00abc\x00", "probe begin { }", nil, ""},
		{"path in the module", "\x00" + prog + "\x00", "", []string{prog + ">" + prog}, ""},
		{"path in a probe point", `x process("` + prog + `").begin`, "", []string{prog + ">" + prog}, ""},
		{"path in a quoted probe point", `x process(\"` + prog + `\").library(\"` + link + `\")`, "", []string{link + ">" + prog, prog + ">" + prog}, ""},
		{"link in the script", "\x00" + prog + "\x00", `probe process("` + link + `")`, []string{link + ">" + prog, prog + ">" + prog}, ""},
		{"name in the script", "", `@cast(p, "x", "true")`, []string{"true>" + resolved}, ""},
		{"no program", "\x00/etc/passwd\x00/nowhere\x00/dev/null\x00/bin\x00", `"/etc/passwd"`, nil, ""},
		{"may come later", "", `probe process("/nowhere").begin ?, process("no-such-name").begin ?`, []string{"/nowhere>", "no-such-name>"}, ""},
		{"probed and gone", `process("/nowhere").begin`, "", nil, "probed program /nowhere"},
		{"library that is gone", `process("` + prog + `").library("/nowhere")`, "", nil, "probed program /nowhere"},
		{"script as program", `process("/etc/passwd").begin`, "", nil, "not an ELF file"},
		{"process id", `process(12).begin`, "", nil, "by its id"},
		{"pattern", "", `probe process( "/bin/*").begin`, nil, "by a pattern"},
		{"pattern in a function is none", "", `probe process("` + prog + `").function("a*")`, []string{prog + ">" + prog}, ""},
	} {
		found, err := executablesOf([]byte(c.module), []byte(c.script), time.Now())
		var got []string
		for _, p := range found {
			got = append(got, p.Name+">"+p.Path)
			if p.BuildID == "" && p.Path != "" {
				t.Errorf("%s: %s has no build id", c.name, p.Path)
			}
			if err := p.changed(); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		if !slices.Equal(got, c.want) || (err == nil) != (c.err == "") ||
			err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: got %q (%v), want %q (%s)", c.name, got, err, c.want, c.err)
		}
	}
	info, _ := os.Stat(prog)
	if _, err := executablesOf([]byte("\x00"+prog+"\x00"), nil, time.Unix(0, fileid.StampOf(info).CTime)); err == nil {
		t.Error("a program that changed during the compile is taken")
	}
}

func TestProgramChanged(t *testing.T) {
	dir := t.TempDir()
	prog := filepath.Join(dir, "prog")
	for name, change := range map[string]func(){
		"replaced":             func() { staptest.PutExecutable(t, prog, "/bin/false") },
		"replaced by its like": func() { staptest.PutExecutable(t, prog, "/bin/true") },
		"removed":              func() { _ = os.Remove(prog) },
		"no program":           func() { staptest.WriteFile(t, prog, "x") },
		"link to another":      func() { _ = os.Remove(prog); _ = os.Symlink("/bin/true", prog) },
	} {
		_ = os.Remove(prog)
		p, err := identify(staptest.PutExecutable(t, prog, "/bin/true"))
		if err != nil {
			t.Fatal(err)
		}
		change()
		if p.changed() == nil {
			t.Errorf("%s: nothing is said", name)
		}
	}
}

func TestBuildIDIsWhatReadelfSays(t *testing.T) {
	id, err := buildID("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	note, err := f.Section(".note.gnu.build-id").Data()
	if err != nil || fmt.Sprintf("%x", note[16:]) != id || len(id) != 40 {
		t.Errorf("it is %s, the note is %x (%v)", id, note, err)
	}
}
