package runner

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"stap-exporter/internal/script"
	"stap-exporter/internal/staptest"
	"stap-exporter/internal/toolchain"
)

func kernelLab(t *testing.T, mode string, change func(*Config)) *lab {
	t.Helper()
	return newLab(t, mode, func(c *Config) {
		c.Runtime = toolchain.Kernel
		if change != nil {
			change(c)
		}
	})
}

// again makes another Host of the same configuration, as a restart of the
// exporter does.
func (l *lab) again(change func(*Config)) *lab {
	l.t.Helper()
	cfg := l.host.cfg
	if change != nil {
		change(&cfg)
	}
	host, err := newHost(cfg, l.host.system)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(host.Close)
	return &lab{Dir: l.Dir, t: l.t, dir: l.dir, host: host}
}

// serve starts s, stops it, and reports whether it had to be compiled.
func (l *lab) serve(s script.Script) (compiled bool) {
	l.t.Helper()
	r := l.start(s)
	compiled = r.ready().Compiled
	r.Stop(nil)
	if e := r.exited(); e.Code != 0 || len(e.Residue) > 0 {
		l.t.Errorf("exit is %s", e.Reason())
	}
	l.clean(s.Module)
	return compiled
}

// want serves s and fails the test when that took another number of compiles.
func (l *lab) want(compiles int, what string, s script.Script) {
	l.t.Helper()
	before := l.Compiles()
	compiled := l.serve(s)
	if got := l.Compiles() - before; got != compiles || compiled != (compiles > 0) {
		l.t.Errorf("%s: %d compiles, want %d; Ready.Compiled is %v", what, got, compiles, compiled)
	}
}

func TestModuleIsCompiledOnce(t *testing.T) {
	slow(t)
	l := kernelLab(t, "", nil)
	in := func(name string) string { return filepath.Join(l.dir, name) }
	prog := staptest.PutExecutable(t, in("prog"), "/bin/true")
	staptest.WriteFile(t, in("tapset/a.stp"), "# one\n")
	text := "probe process(\"" + prog + "\").begin { }\n"
	s := l.text("m1", text)

	l.want(1, "first start", s)
	for range 10 {
		l.want(0, "later start", s)
	}
	l.host.Close()
	l = l.again(nil)
	l.want(0, "restart of the exporter", s)

	staptest.WriteFile(t, in("unrelated"), "x")
	staptest.WriteFile(t, in("tapset/README"), "x")
	staptest.WriteFile(t, in("other.stp"), "probe end { }\n")
	l.want(0, "unrelated files", s)

	s = l.text("m1", text+"probe end { }\n")
	l.want(1, "another text", s)
	l.want(0, "after another text", s)
	staptest.WriteFile(t, in("tapset/a.stp"), "# two\n")
	l.want(1, "another tapset", s)
	l.want(0, "after another tapset", s)
	staptest.PutExecutable(t, prog, "/bin/false")
	l.want(1, "another executable", s)
	l.want(0, "after another executable", s)
	staptest.WriteFile(t, in("runtime/x.c"), "int x;\n")
	l.want(1, "another runtime", s)
	s.Options.Stap = []string{"-g"}
	l.want(1, "another option", s)
	s = l.text("m1", text)
	staptest.WriteFile(t, in("tapset/a.stp"), "# one\n")
	if err := os.Remove(in("runtime/x.c")); err != nil {
		t.Fatal(err)
	}
	l.want(1, "the first text again, but for the executable", s)
}

func TestUncacheableModules(t *testing.T) {
	slow(t)
	l := kernelLab(t, "", nil)
	for name, text := range map[string]string{
		"executable that does not exist": `probe process("/nowhere/x").begin { }`,
		"process id":                     `probe process(4711).begin { }`,
		"pattern":                        `probe process("/bin/tr*").begin { }`,
	} {
		s := l.text("m1", text)
		l.want(1, name, s)
		l.want(1, name+" again", s)
	}
	s := l.text("m1", "probe begin { }")
	s.Options.NoReuse = "-x 1"
	l.want(1, "option for one start", s)
	l.want(1, "option for one start again", s)
	if left, _ := filepath.Glob(filepath.Join(l.host.cache.Dir(), "*")); len(left) > 0 {
		t.Errorf("in the cache: %q", left)
	}
}

func TestBadEntriesAreCompiledAgainAndNeverLoaded(t *testing.T) {
	slow(t)
	l := kernelLab(t, "", nil)
	s := l.text("m1", "probe begin { }")
	l.want(1, "first start", s)
	find := func(ext string) string {
		found, _ := filepath.Glob(filepath.Join(l.host.cache.Dir(), "*"+ext))
		if len(found) != 1 {
			t.Fatalf("entries are %q", found)
		}
		return found[0]
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	edit := func(ext string, f func([]byte) []byte) {
		text, err := os.ReadFile(find(ext))
		must(err)
		must(os.WriteFile(find(ext), f(text), 0o600))
	}
	for name, spoil := range map[string]func(){
		"shorter module":  func() { edit(".ko", func(b []byte) []byte { return b[:len(b)-1] }) },
		"longer module":   func() { edit(".ko", func(b []byte) []byte { return append(b, 'x') }) },
		"another byte":    func() { edit(".ko", func(b []byte) []byte { b[3] ^= 1; return b }) },
		"empty module":    func() { edit(".ko", func([]byte) []byte { return nil }) },
		"no module":       func() { must(os.Remove(find(".ko"))) },
		"half a manifest": func() { edit(".json", func(b []byte) []byte { return b[:len(b)/2] }) },
		"empty manifest":  func() { edit(".json", func([]byte) []byte { return nil }) },
		"manifest of another": func() {
			edit(".json", func(b []byte) []byte { return []byte(strings.Replace(string(b), `"m1"`, `"m2"`, 1)) })
		},
		"group writes module":      func() { must(os.Chmod(find(".ko"), 0o620)) },
		"others write module":      func() { must(os.Chmod(find(".ko"), 0o602)) },
		"group writes manifest":    func() { must(os.Chmod(find(".json"), 0o660)) },
		"module of another user":   func() { must(os.Chown(find(".ko"), 12345, -1)) },
		"manifest of another user": func() { must(os.Chown(find(".json"), 12345, -1)) },
		"module is a link": func() {
			ko := find(".ko")
			must(os.Rename(ko, filepath.Join(l.dir, "elsewhere")))
			must(os.Symlink(filepath.Join(l.dir, "elsewhere"), ko))
		},
		"module is a FIFO": func() {
			ko := find(".ko")
			must(os.Remove(ko))
			must(syscall.Mkfifo(ko, 0o600))
		},
		"directory is writable by everyone": func() { must(os.Chmod(l.host.cache.Dir(), 0o777)) },
	} {
		if os.Getuid() != 0 && strings.Contains(name, "another user") {
			continue // only root can give files away
		}
		spoil()
		l.want(1, name, s)
		must(os.Chmod(l.host.cache.Dir(), 0o700))
		_ = os.Remove(filepath.Join(l.dir, "elsewhere"))
		l.want(0, "after "+name, s)
	}
	if l.LogHas("misfit") {
		t.Error("a bad module was loaded")
	}
}

func TestModuleThatTheKernelRejectsIsCompiledAgain(t *testing.T) {
	slow(t)
	l := kernelLab(t, "", nil)
	s := l.text("m1", "probe begin { }")
	l.want(1, "first start", s)
	staptest.WriteFile(t, filepath.Join(l.dir, "running"), "another build of the same kernel")
	l.want(1, "rejected from the cache", s)
	l.want(0, "after that", s)
}

func TestModuleThatFailsForAnotherReasonIsKept(t *testing.T) {
	l := kernelLab(t, "staprun-fails", nil)
	s := l.text("m1", "probe begin { }")
	for range 2 {
		// the stand-in's message is of no stale module, so the second start is
		// from the cache
		if e := l.start(s).exited(); e.Code != 1 || e.Stage != toolchain.StageLoad || e.Ready {
			t.Errorf("exit is %s", e.Reason())
		}
	}
	if n := l.Compiles(); n != 1 {
		t.Errorf("%d compiles", n)
	}
	l.clean("m1")
}

func TestHostsShareACache(t *testing.T) {
	slow(t)
	l := kernelLab(t, "", nil)
	other := l.again(func(c *Config) { c.Dir = filepath.Join(l.dir, "private2") })
	s := l.text("m1", "probe begin { }")
	l.want(1, "first host", s)
	other.want(0, "second host", s)

	var runs []*started
	for i := range 6 { // both at once, each its own
		h := []*lab{l, other}[i%2]
		runs = append(runs, h.start(l.text("x"+strconv.Itoa(i), "probe begin { }")))
	}
	for _, r := range runs {
		if !r.ready().Compiled {
			t.Error("from the cache")
		}
		r.Stop(nil)
		r.exited()
	}
	for i := range 6 {
		l.want(
			0,
			"in the other host",
			script.Script{
				Name:   "x",
				Path:   filepath.Join(l.dir, "x"+strconv.Itoa(i)+".stp"),
				Module: "x" + strconv.Itoa(i),
			},
		)
	}
}

func TestTheLeastRecentlyUsedGoesFirst(t *testing.T) {
	slow(t)
	const text = 3000 // bytes; an entry has some hundred more
	l := kernelLab(t, "", func(c *Config) { c.CacheSize = 4 * text })
	scripts := map[string]script.Script{}
	for _, m := range []string{"a", "b", "c", "d"} {
		scripts[m] = l.text(m, "probe begin { } # "+strings.Repeat(m, text))
	}
	for _, m := range []string{"a", "b", "c"} {
		l.want(1, m, scripts[m])
	}
	l.want(0, "a", scripts["a"])
	l.want(1, "d", scripts["d"])
	l.want(0, "a", scripts["a"])
	l.want(0, "c", scripts["c"])
	l.want(1, "b", scripts["b"])
	var total int64
	entries, _ := os.ReadDir(l.host.cache.Dir())
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v (%v)", e.Name(), info.Mode(), err)
		}
		total += info.Size()
	}
	if total > l.host.cfg.CacheSize {
		t.Errorf("%d bytes in the cache", total)
	}
	small := l.again(func(c *Config) { c.CacheSize, c.CacheDir = 100, filepath.Join(l.dir, "small") })
	small.want(1, "too large", scripts["a"])
	small.want(1, "too large again", scripts["a"])
}

func TestStartOfACachedModuleReportsTheLoad(t *testing.T) {
	l := kernelLab(t, "", nil)
	s := l.text("m1", "probe begin { }")
	l.serve(s)
	r := l.start(s)
	r.ready()
	if !slices.Equal(r.passed, []string{"load"}) {
		t.Errorf("activities are %q", r.passed)
	}
	r.Stop(nil)
	r.exited()
}

func TestDirectivesOfAScript(t *testing.T) {
	l := newLab(t, "", nil) // --script.runtime=bpf
	s := l.text("m1", "probe begin { }")
	s.Runtime = "kernel"
	s.Options = script.Options{Stap: []string{"-g"}, Staprun: []string{"-b", "4"}, ModuleArgs: []string{"a=b"}}
	l.want(1, "kernel", s)
	l.WaitForLog("staprun -b 4 m1.ko a=b")

	slow := newLab(t, "compile-hangs", nil)
	s = slow.text("m1", "probe begin { }")
	s.Directives.StartTimeout = 50 * time.Millisecond
	if e := slow.start(s).exited(); !strings.Contains(e.String(), "after 50ms") {
		t.Errorf("exit is %s", e)
	}
}

func TestRuntimeDirectoryReachesStap(t *testing.T) {
	l := kernelLab(t, "", func(c *Config) { c.StapRuntime = "/r t" })
	l.serve(l.text("m1", "probe begin { }"))
	l.WaitForLog("stap -v -p4 -m m1 -R /r t " + filepath.Join(l.dir, "m1.stp"))
	if env := l.host.tools.Environment("/tmp", ""); !slices.Contains(env, "SYSTEMTAP_RUNTIME=/r t") {
		t.Error("wrappers do not get it")
	}
}
