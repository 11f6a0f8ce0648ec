package watch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testTimeout bounds every wait; a test that works never reaches it.
const testTimeout = 30 * time.Second

// receiver records what it finds when Changed is called: the directory's
// matching files with mode and text, or "none" without a directory.
type receiver struct {
	t      *testing.T
	dir    string
	mu     sync.Mutex
	now    string
	calls  int
	called chan struct{}
}

func match(name string) bool { return strings.HasSuffix(name, ".stp") }

func start(t *testing.T, dir string, change func(*Config)) (*receiver, *Watcher) {
	t.Helper()
	s := &receiver{t: t, dir: dir, called: make(chan struct{}, 1)}
	cfg := Config{
		Directory:    dir,
		Match:        match,
		Changed:      s.read,
		QuietPeriod:  20 * time.Millisecond,
		PollInterval: time.Hour,
	}
	if change != nil {
		change(&cfg)
	}
	w := New(cfg)
	t.Cleanup(w.Close)
	s.expect("the beginning")
	return s, w
}

func contents(dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "none"
	}
	var list []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path)
		if !match(e.Name()) || err != nil {
			continue
		}
		text, _ := os.ReadFile(path)
		list = append(list, fmt.Sprintf("%s %o %d %.9s", e.Name(), info.Mode().Perm(), len(text), text))
	}
	return strings.Join(list, ", ")
}

func (s *receiver) read() {
	s.mu.Lock()
	s.now = contents(s.dir)
	s.calls++
	s.mu.Unlock()
	select {
	case s.called <- struct{}{}:
	default:
	}
}

// expect waits until the receiver has found what the directory has now.
func (s *receiver) expect(what string) {
	s.t.Helper()
	limit := time.After(testTimeout)
	for {
		s.mu.Lock()
		now := s.now
		s.mu.Unlock()
		if s.count() > 0 && now == contents(s.dir) {
			return
		}
		select {
		case <-s.called:
		case <-limit:
			s.t.Fatalf("%s: found %q, want %q", what, now, contents(s.dir))
		}
	}
}

func (s *receiver) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o600))
}

func TestChangesOfFiles(t *testing.T) {
	dir := t.TempDir()
	elsewhere := t.TempDir()
	s, _ := start(t, dir, nil)
	a := filepath.Join(dir, "a.stp")
	for _, step := range []struct {
		what string
		do   func()
	}{
		{"a new file", func() { write(t, a, "one") }},
		{"written in place", func() { write(t, a, "two!") }},
		{"appended to", func() {
			f, err := os.OpenFile(a, os.O_APPEND|os.O_WRONLY, 0)
			must(t, err)
			_, err = f.WriteString("more")
			must(t, errors.Join(err, f.Close()))
		}},
		{"replaced by a rename", func() { write(t, a+".new", "three"); must(t, os.Rename(a+".new", a)) }},
		{"made executable", func() { must(t, os.Chmod(a, 0o700)) }},
		{"a symlink to elsewhere", func() {
			write(t, filepath.Join(elsewhere, "x"), "x")
			must(t, os.Symlink(filepath.Join(elsewhere, "x"), filepath.Join(dir, "b.stp")))
		}},
		{"its target written", func() { write(t, filepath.Join(elsewhere, "x"), "xx") }},
		{"its target replaced", func() {
			write(t, filepath.Join(elsewhere, "y"), "yyy")
			must(t, os.Rename(filepath.Join(elsewhere, "y"), filepath.Join(elsewhere, "x")))
		}},
		{"its target's directory moved", func() { must(t, os.Rename(elsewhere, elsewhere+".away")) }},
		{"and back", func() { must(t, os.Rename(elsewhere+".away", elsewhere)) }},
		{"its target's mode", func() { must(t, os.Chmod(filepath.Join(elsewhere, "x"), 0o640)) }},
		{"moved out", func() { must(t, os.Rename(a, filepath.Join(elsewhere, "a"))) }},
		{"moved in", func() { must(t, os.Rename(filepath.Join(elsewhere, "a"), a)) }},
		{"removed", func() { must(t, os.Remove(a)) }},
		{"the symlink, too", func() { must(t, os.Remove(filepath.Join(dir, "b.stp"))) }},
	} {
		step.do()
		s.expect(step.what)
	}
}

func TestDirectoryRemovedAndCreated(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "conf", "scripts")
	s, _ := start(t, dir, nil) // neither the directory nor its parent exists yet
	conf := filepath.Dir(dir)
	other := filepath.Join(top, "other")
	for _, step := range []struct {
		what string
		do   func()
	}{
		{"made, with a file", func() { must(t, os.MkdirAll(dir, 0o700)); write(t, dir+"/a.stp", "1") }},
		{"a file in it", func() { write(t, dir+"/b.stp", "1") }},
		{"removed and made again at once", func() {
			must(t, os.RemoveAll(dir))
			must(t, os.Mkdir(dir, 0o700))
			write(t, dir+"/c.stp", "c")
		}},
		{"a file in the new one", func() { write(t, dir+"/d.stp", "d") }},
		{"moved away", func() { must(t, os.Rename(dir, other)) }},
		{"replaced by another", func() { must(t, os.Mkdir(dir, 0o700)); write(t, dir+"/e.stp", "e") }},
		{"its parent moved away", func() { must(t, os.Rename(conf, conf+".away")) }},
		{"its parent back", func() { must(t, os.Rename(conf+".away", conf)) }},
		{"a file after that", func() { write(t, dir+"/f.stp", "f") }},
		{"replaced by a symlink", func() { must(t, os.RemoveAll(dir)); must(t, os.Symlink(other, dir)) }},
		{"a file in its target", func() { write(t, other+"/g.stp", "g") }},
		{"the symlink replaced by a rename", func() {
			must(t, os.Mkdir(filepath.Join(top, "third"), 0o700))
			write(t, filepath.Join(top, "third", "h.stp"), "h")
			must(t, os.Symlink("../third", dir+".new"))
			must(t, os.Rename(dir+".new", dir))
		}},
		{"a file there", func() { write(t, filepath.Join(top, "third", "i.stp"), "i") }},
		{"all gone", func() { must(t, os.RemoveAll(conf)) }},
		{"all back", func() { must(t, os.MkdirAll(dir, 0o700)); write(t, dir+"/j.stp", "j") }},
		{"its mode", func() { must(t, os.Chmod(dir+"/j.stp", 0o755)) }},
	} {
		step.do()
		s.expect(step.what)
	}
}

// Kubernetes replaces a symlink that is part of the paths of all files.
func TestSwappedBelowAllFiles(t *testing.T) {
	dir := t.TempDir()
	for _, v := range []string{"..1", "..2"} {
		must(t, os.Mkdir(filepath.Join(dir, v), 0o700))
		write(t, filepath.Join(dir, v, "a.stp"), v)
	}
	must(t, os.Symlink("..1", dir+"/..data"))
	must(t, os.Symlink("..data/a.stp", dir+"/a.stp"))
	s, _ := start(t, dir, nil)
	must(t, os.Symlink("..2", dir+"/..tmp"))
	must(t, os.Rename(dir+"/..tmp", dir+"/..data"))
	s.expect("the swap")
	write(t, dir+"/..2/a.stp", "after the swap")
	s.expect("a write to its target")
}

// Events that belong together are one change: the way an editor writes a file,
// and a copy that takes many writes.
func TestOneChange(t *testing.T) {
	dir := t.TempDir()
	a := filepath.Join(dir, "a.stp")
	write(t, a, "old")
	s, _ := start(t, dir, func(c *Config) { c.QuietPeriod, c.MaxDelay = time.Second, testTimeout })
	before := s.count()
	must(t, os.Rename(a, a+"~")) // vim, with a backup
	f, err := os.Create(a)
	must(t, err)
	for range 300 {
		_, err := f.Write(make([]byte, 4096))
		must(t, err)
	}
	must(t, f.Close())
	must(t, os.Chmod(a, 0o644))
	must(t, os.Remove(a+"~"))
	s.expect("the edit")
	if n := s.count() - before; n != 1 {
		t.Errorf("called %d times", n)
	}
}

// A file that never stops changing is reported all the same.
func TestMaxDelay(t *testing.T) {
	dir := t.TempDir()
	s, _ := start(t, dir, func(c *Config) { c.QuietPeriod, c.MaxDelay = time.Hour, 10*time.Millisecond })
	write(t, filepath.Join(dir, "a.stp"), "text")
	s.expect("a file")
}

// Without inotify the Watcher logs one warning and polls.
func TestPolls(t *testing.T) {
	for name, refuse := range map[string]func(*Watcher){
		"at the start": func(w *Watcher) { w.fallBackToPolling(unix.EMFILE) },
		"later": func(w *Watcher) {
			notify, err := fsnotify.NewWatcher()
			must(t, err)
			must(t, notify.Close()) // so that every Add fails
			w.notify = notify
			w.fallBackToPolling(unix.ENOSPC)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			core, logs := observer.New(zap.WarnLevel)
			s := &receiver{t: t, dir: dir, called: make(chan struct{}, 1)}
			w := newWatcher(Config{
				Directory:    dir,
				Match:        match,
				Changed:      s.read,
				PollInterval: time.Millisecond,
				Logger:       zap.New(core),
			})
			refuse(w)
			go w.run()
			defer w.Close()
			for i := range 3 {
				write(t, filepath.Join(dir, "a.stp"), fmt.Sprint(i))
				s.expect("a change")
			}
			if logs.Len() != 1 {
				t.Errorf("%d warnings", logs.Len())
			}
		})
	}
}

// Changes outside the directory are not reported.
func TestRelevant(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(dir+"/scripts", 0o700))
	must(t, os.Symlink("../target", dir+"/scripts/a.stp"))
	notify, err := fsnotify.NewWatcher()
	must(t, err)
	defer func() { _ = notify.Close() }()
	w := newWatcher(Config{Directory: dir + "/scripts", Match: match})
	w.notify = notify
	must(t, w.updateWatches())
	for name, want := range map[string]bool{
		"scripts/a.stp": true, "scripts/new.stp": true, "scripts/a.stp~": false, "scripts/.a.swp": false,
		"target": true, "other": false, "other.stp": false, "scripts": true, "": true, "scripts/sub/a.stp": false,
	} {
		if got := w.relevant(fsnotify.Event{Name: filepath.Join(dir, name), Op: fsnotify.Write}); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
	if w.relevant(fsnotify.Event{Name: filepath.Join(dir, "scripts"), Op: fsnotify.Remove}); !w.replaced() {
		t.Error("a directory that was removed still has its watch")
	}
	must(t, w.updateWatches())
	if w.replaced() {
		t.Error("not watched again")
	}
	w.forgetAll()
	if len(w.watched) != 0 || len(notify.WatchList()) != 0 {
		t.Errorf("still watched: %v, %q", w.watched, notify.WatchList())
	}
}

func TestFollow(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(dir+"/a/b", 0o700))
	for link, target := range map[string]string{
		"abs":      dir + "/a",
		"rel":      "a/../a/./b",
		"twice":    "rel/..",
		"loop":     "loop",
		"dangling": "a/none/x",
	} {
		must(t, os.Symlink(target, filepath.Join(dir, link)))
	}
	for path, want := range map[string]struct {
		real string
		at   []string // the last steps
	}{
		"a/b":        {"a/b", []string{". a", "a b"}},
		"abs/b":      {"a/b", []string{". abs", ". a", "a b"}},
		"rel":        {"a/b", []string{". rel", ". a", ". a", "a b"}},
		"twice/b":    {"a/b", []string{". twice", ". rel", ". a", ". a", "a b", "a b"}},
		"none/x":     {"", []string{". none"}},
		"dangling/y": {"", []string{". dangling", ". a", "a none"}},
		"loop":       {"", []string{". loop", ". loop"}},
	} {
		var at []string
		leads, ok := follow(filepath.Join(dir, path), func(in, name string) {
			if in == dir || strings.HasPrefix(in, dir+"/") {
				rel, _ := filepath.Rel(dir, in)
				at = append(at, rel+" "+name)
			}
		})
		if ok != (want.real != "") || ok && leads != filepath.Join(dir, want.real) {
			t.Errorf("%s leads to %q, %v", path, leads, ok)
		}
		if len(at) < len(want.at) || !slices.Equal(at[len(at)-len(want.at):], want.at) {
			t.Errorf("%s: steps %q", path, at)
		}
	}
}
