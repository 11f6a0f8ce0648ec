package stap

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stap-exporter/internal/fileid"
	"stap-exporter/internal/staptest"
)

// TestCacheNeverGivesAMixture has two exporters write different modules under
// one key while others read.
func TestCacheNeverGivesAMixture(t *testing.T) {
	dir := t.TempDir()
	var writers, readers sync.WaitGroup
	var done atomic.Bool
	texts := [][]byte{bytes.Repeat([]byte("a"), 100_000), bytes.Repeat([]byte("b"), 120_000)}
	for _, text := range texts {
		writers.Go(func() {
			c, err := newModuleCache(dir, 1<<20)
			if err != nil {
				t.Error(err)
				return
			}
			for range 50 {
				if err := c.put(manifest{Key: "k", Module: "m"}, text); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 2 {
		readers.Go(func() {
			c := &moduleCache{dir: dir, limit: 1 << 20}
			to := filepath.Join(t.TempDir(), fmt.Sprint(i))
			for !done.Load() {
				if c.get("k", "m", to) != nil {
					if _, err := os.Stat(to); err == nil {
						t.Error("what is not given is there all the same")
					}
					continue
				}
				got, _ := os.ReadFile(to)
				if !bytes.Equal(got, texts[0]) && !bytes.Equal(got, texts[1]) {
					t.Error("a mixture")
				}
				_ = os.Remove(to)
			}
		})
	}
	writers.Wait()
	done.Store(true)
	readers.Wait()
	c := &moduleCache{dir: dir, limit: 1 << 20}
	if err := c.get("k", "m", filepath.Join(t.TempDir(), "ko")); err != nil {
		t.Errorf("in the end: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, temporary+"*")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestCacheMissesAndRemoves(t *testing.T) {
	c, err := newModuleCache(filepath.Join(t.TempDir(), "modules"), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "ko")
	if err := c.get("k", "m", to); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no entry: %v", err)
	}
	for range 2 {
		if err := c.put(manifest{Key: "k", Module: "m"}, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.get("k", "other", to); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("another module: %v", err)
	}
	for range 2 {
		if err := c.remove("k"); err != nil {
			t.Error(err)
		}
	}
	if err := c.get("k", "m", to); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed: %v", err)
	}
}

func TestTrimRemovesWhatAKilledExporterLeft(t *testing.T) {
	dir := t.TempDir()
	c, err := newModuleCache(dir, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * abandoned)
	for _, name := range []string{temporary + "1", "half.ko", "other.json", temporary + "2", "young.ko"} {
		path := filepath.Join(dir, name)
		staptest.WriteFile(t, path, "x")
		if !strings.Contains(name, "2") && !strings.Contains(name, "young") {
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := c.put(manifest{Key: "k", Module: "m"}, []byte("x")); err != nil {
		t.Fatal(err)
	}
	var names []string
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{".lock", temporary + "2", "k.json", "k.ko", "young.ko"}; !slices.Equal(names, want) {
		t.Errorf("left are %q, want %q", names, want)
	}
}

func TestProgramsOf(t *testing.T) {
	dir := t.TempDir()
	prog := putProgram(t, filepath.Join(dir, "prog"), "/bin/true")
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
		found, err := programsOf([]byte(c.module), []byte(c.script), time.Now())
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
	if _, err := programsOf([]byte("\x00"+prog+"\x00"), nil, time.Unix(0, fileid.StampOf(info).CTime)); err == nil {
		t.Error("a program that changed during the compile is taken")
	}
}

func TestProgramChanged(t *testing.T) {
	dir := t.TempDir()
	prog := filepath.Join(dir, "prog")
	for name, change := range map[string]func(){
		"replaced":             func() { putProgram(t, prog, "/bin/false") },
		"replaced by its like": func() { putProgram(t, prog, "/bin/true") },
		"removed":              func() { _ = os.Remove(prog) },
		"no program":           func() { staptest.WriteFile(t, prog, "x") },
		"link to another":      func() { _ = os.Remove(prog); _ = os.Symlink("/bin/true", prog) },
	} {
		_ = os.Remove(prog)
		p, err := identify(putProgram(t, prog, "/bin/true"))
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
