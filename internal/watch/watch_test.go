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

// patience bounds every wait: reached only when something is broken.
const patience = 30 * time.Second

// seen is what the one who is told sees: the folder's wanted files with mode
// and text, or "none" without a folder.
type seen struct {
	t      *testing.T
	folder string
	mu     sync.Mutex
	now    string
	calls  int
	news   chan struct{}
}

func wanted(name string) bool { return strings.HasSuffix(name, ".stp") }

func start(t *testing.T, folder string, change func(*Config)) (*seen, *Watcher) {
	t.Helper()
	s := &seen{t: t, folder: folder, news: make(chan struct{}, 1)}
	cfg := Config{
		Folder:  folder,
		Wanted:  wanted,
		Changed: s.look,
		Quiet:   20 * time.Millisecond,
		Poll:    time.Hour,
	}
	if change != nil {
		change(&cfg)
	}
	w := New(cfg)
	t.Cleanup(w.Close)
	s.told("the beginning")
	return s, w
}

func contents(folder string) string {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return "none"
	}
	var list []string
	for _, e := range entries {
		path := filepath.Join(folder, e.Name())
		info, err := os.Stat(path)
		if !wanted(e.Name()) || err != nil {
			continue
		}
		text, _ := os.ReadFile(path)
		list = append(list, fmt.Sprintf("%s %o %d %.9s", e.Name(), info.Mode().Perm(), len(text), text))
	}
	return strings.Join(list, ", ")
}

func (s *seen) look() {
	s.mu.Lock()
	s.now = contents(s.folder)
	s.calls++
	s.mu.Unlock()
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// told waits until what was seen is what is there.
func (s *seen) told(what string) {
	s.t.Helper()
	limit := time.After(patience)
	for {
		s.mu.Lock()
		now := s.now
		s.mu.Unlock()
		if s.called() > 0 && now == contents(s.folder) {
			return
		}
		select {
		case <-s.news:
		case <-limit:
			s.t.Fatalf("%s: saw %q, there is %q", what, now, contents(s.folder))
		}
	}
}

func (s *seen) called() int {
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
		{"made a program", func() { must(t, os.Chmod(a, 0o700)) }},
		{"a symlink to elsewhere", func() {
			write(t, filepath.Join(elsewhere, "x"), "x")
			must(t, os.Symlink(filepath.Join(elsewhere, "x"), filepath.Join(dir, "b.stp")))
		}},
		{"its target written", func() { write(t, filepath.Join(elsewhere, "x"), "xx") }},
		{"its target replaced", func() {
			write(t, filepath.Join(elsewhere, "y"), "yyy")
			must(t, os.Rename(filepath.Join(elsewhere, "y"), filepath.Join(elsewhere, "x")))
		}},
		{"its target's folder moved", func() { must(t, os.Rename(elsewhere, elsewhere+".away")) }},
		{"and back", func() { must(t, os.Rename(elsewhere+".away", elsewhere)) }},
		{"its target's mode", func() { must(t, os.Chmod(filepath.Join(elsewhere, "x"), 0o640)) }},
		{"moved out", func() { must(t, os.Rename(a, filepath.Join(elsewhere, "a"))) }},
		{"moved in", func() { must(t, os.Rename(filepath.Join(elsewhere, "a"), a)) }},
		{"removed", func() { must(t, os.Remove(a)) }},
		{"the symlink, too", func() { must(t, os.Remove(filepath.Join(dir, "b.stp"))) }},
	} {
		step.do()
		s.told(step.what)
	}
}

func TestFolderGoesAndComes(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "conf", "scripts")
	s, _ := start(t, dir, nil) // it is not there yet, nor is what it will be in
	conf := filepath.Dir(dir)
	other := filepath.Join(top, "other")
	for _, step := range []struct {
		what string
		do   func()
	}{
		{"made, with a file", func() { must(t, os.MkdirAll(dir, 0o700)); write(t, dir+"/a.stp", "1") }},
		{"a file in it", func() { write(t, dir+"/b.stp", "1") }},
		{"removed and made again at once", func() { must(t, os.RemoveAll(dir)); must(t, os.Mkdir(dir, 0o700)); write(t, dir+"/c.stp", "c") }},
		{"a file in the new one", func() { write(t, dir+"/d.stp", "d") }},
		{"moved away", func() { must(t, os.Rename(dir, other)) }},
		{"another in its place", func() { must(t, os.Mkdir(dir, 0o700)); write(t, dir+"/e.stp", "e") }},
		{"its parent moved away", func() { must(t, os.Rename(conf, conf+".away")) }},
		{"its parent back", func() { must(t, os.Rename(conf+".away", conf)) }},
		{"a file after that", func() { write(t, dir+"/f.stp", "f") }},
		{"a symlink in its place", func() { must(t, os.RemoveAll(dir)); must(t, os.Symlink(other, dir)) }},
		{"a file where that leads", func() { write(t, other+"/g.stp", "g") }},
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
		s.told(step.what)
	}
}

// Kubernetes swaps a symlink that all files of a folder lead over.
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
	s.told("the swap")
	write(t, dir+"/..2/a.stp", "after the swap")
	s.told("a write behind it")
}

// What belongs together is one change: an editor's way of writing, and a copy
// that takes many writes.
func TestOneChange(t *testing.T) {
	dir := t.TempDir()
	a := filepath.Join(dir, "a.stp")
	write(t, a, "old")
	s, _ := start(t, dir, func(c *Config) { c.Quiet, c.Longest = time.Second, patience })
	before := s.called()
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
	s.told("the edit")
	if n := s.called() - before; n != 1 {
		t.Errorf("told %d times", n)
	}
}

// A file that is written for ever is looked at all the same.
func TestLongest(t *testing.T) {
	dir := t.TempDir()
	s, _ := start(t, dir, func(c *Config) { c.Quiet, c.Longest = time.Hour, 10*time.Millisecond })
	write(t, filepath.Join(dir, "a.stp"), "text")
	s.told("a file")
}

// Without inotify it polls, after one warning.
func TestPolls(t *testing.T) {
	for name, refuse := range map[string]func(*Watcher){
		"at the start": func(w *Watcher) { w.poll(unix.EMFILE) },
		"later": func(w *Watcher) {
			notify, err := fsnotify.NewWatcher()
			must(t, err)
			must(t, notify.Close()) // so that every Add fails …
			w.notify = notify
			w.poll(unix.ENOSPC)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			core, logs := observer.New(zap.WarnLevel)
			s := &seen{t: t, folder: dir, news: make(chan struct{}, 1)}
			w := newWatcher(Config{
				Folder:  dir,
				Wanted:  wanted,
				Changed: s.look,
				Poll:    time.Millisecond,
				Logger:  zap.New(core),
			})
			refuse(w)
			go w.run()
			defer w.Close()
			for i := range 3 {
				write(t, filepath.Join(dir, "a.stp"), fmt.Sprint(i))
				s.told("a change")
			}
			if logs.Len() != 1 {
				t.Errorf("%d warnings", logs.Len())
			}
		})
	}
}

// What happens beside the folder is not told.
func TestWhatCounts(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(dir+"/scripts", 0o700))
	must(t, os.Symlink("../target", dir+"/scripts/a.stp"))
	notify, err := fsnotify.NewWatcher()
	must(t, err)
	defer func() { _ = notify.Close() }()
	w := newWatcher(Config{Folder: dir + "/scripts", Wanted: wanted})
	w.notify = notify
	must(t, w.watch())
	for name, want := range map[string]bool{
		"scripts/a.stp": true, "scripts/new.stp": true, "scripts/a.stp~": false, "scripts/.a.swp": false,
		"target": true, "other": false, "other.stp": false, "scripts": true, "": true, "scripts/sub/a.stp": false,
	} {
		if got := w.counts(fsnotify.Event{Name: filepath.Join(dir, name), Op: fsnotify.Write}); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
	if w.counts(fsnotify.Event{Name: filepath.Join(dir, "scripts"), Op: fsnotify.Remove}); w.moved() != true {
		t.Error("a folder that was removed still has its watch")
	}
	must(t, w.watch())
	if w.moved() {
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
	for link, target := range map[string]string{"abs": dir + "/a", "rel": "a/../a/./b", "twice": "rel/..", "loop": "loop", "dangling": "a/none/x"} {
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
