package modcache

import (
	"os"
	"path/filepath"
	"testing"

	"stap-exporter/internal/staptest"
	"stap-exporter/internal/toolchain"
)

func TestKeyCoversEveryInput(t *testing.T) {
	d := staptest.NewDir(t, "")
	in := func(name string) string { return d.Path(name) }
	c := &Cache{fingerprint: Fingerprint{
		Release:    staptest.Release,
		Version:    "#1",
		LibModules: staptest.Machine(t),
		Stap:       d.Path("bin", "stap"),
	}}
	more := filepath.Join(t.TempDir(), "more")
	if err := os.MkdirAll(filepath.Join(more, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	src := toolchain.Build{Script: in("s.stp"), Module: "m1", Args: []string{"-v", "-I", more}}
	staptest.WriteFile(t, src.Script, "probe begin { }\n")
	key := func() string {
		t.Helper()
		k, err := c.Key(src)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	last := key()
	for _, step := range []struct {
		what   string
		change func()
		same   bool
	}{
		{"nothing", func() {}, true},
		{"script", func() { staptest.WriteFile(t, src.Script, "probe end { }\n") }, false},
		{"module", func() { src.Module = "m2" }, false},
		{"option", func() { src.Args = append(src.Args, "-g") }, false},
		{"tapset", func() { staptest.WriteFile(t, in("tapset/new.stpm"), "") }, false},
		{"file that is no tapset", func() { staptest.WriteFile(t, in("tapset/new.txt"), "") }, true},
		{"tapset of -I", func() { staptest.WriteFile(t, filepath.Join(more, "sub", "x.stp"), "") }, false},
		{"runtime", func() { staptest.WriteFile(t, in("runtime/any"), "") }, false},
		{"default options", func() { staptest.WriteFile(t, in("rc"), "-g\n") }, false},
		{"variable", func() { t.Setenv("SYSTEMTAP_DEBUGINFO_PATH", "/x") }, false},
		{"another variable", func() { t.Setenv("EDITOR", "x") }, true},
		{"kernel release", func() { c.fingerprint.Release += "x" }, false},
		{"kernel version", func() { c.fingerprint.Version += "x" }, false},
		{"runtime of -R", func() { src.Args = append(src.Args, "-R", more) }, false},
		{"stap's own runtime, with -R", func() { staptest.WriteFile(t, in("runtime/other"), "") }, true},
		{"compiler", func() {
			bin := t.TempDir()
			staptest.PutExecutable(t, filepath.Join(bin, "gcc"), "/bin/true")
			t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
		}, false},
	} {
		step.change()
		now := key()
		if (now == last) != step.same {
			t.Errorf("%s: the same key: %v, want %v", step.what, now == last, step.same)
		}
		last = now
	}
	for _, bad := range []string{"-r", "--sysroot=/x"} {
		b := toolchain.Build{Script: src.Script, Module: "m1", Args: []string{bad, "x"}}
		if _, err := c.Key(b); err == nil {
			t.Errorf("%s has a key", bad)
		}
	}
}
