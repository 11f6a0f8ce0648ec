package watch

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// Config says what is watched. Durations left zero get their defaults.
type Config struct {
	// an absolute path; may be, or lead over, a symlink, and need not be there
	Folder string
	Wanted func(string) bool // which names in the folder count
	// called after something may have changed, by the Watcher's goroutine, and
	// once at the beginning: what changed before is not seen
	Changed func()
	// Changed is called when nothing has happened for this long; default 200 ms
	Quiet   time.Duration
	Longest time.Duration // and after this long in any case; default 2 s
	// how often Changed is called where the kernel does not tell; default 5 s
	Poll   time.Duration
	Logger *zap.Logger
}

// Watcher watches until Close.
//
// It sees changes of the folder's files, and of the files that symlinks in it
// lead to, in content and in mode; and the folder or anything on the way to it
// being moved, removed, made again or, by a symlink, replaced. It does not see
// what another host does on a network file system, nor writes through a memory
// mapping.
// Where the kernel's limits for inotify are used up it warns once and polls.
type Watcher struct {
	cfg       Config
	closeOnce sync.Once
	stop      chan struct{}
	done      chan struct{}

	// Of the goroutine alone.
	notify  *fsnotify.Watcher          // nil: only polling is left
	real    string                     // where the folder is; empty: nowhere
	names   map[string]map[string]bool // what else counts, by folder
	watched map[string]identity        // folders that have a watch, or cannot have one
}

// identity tells a folder from another one at the same path.
type identity struct{ dev, ino uint64 }

// New watches from now on.
func New(cfg Config) *Watcher {
	w := newWatcher(cfg)
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		w.poll(err)
	} else {
		w.notify = notify
	}
	go w.run()
	return w
}

func newWatcher(cfg Config) *Watcher {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&cfg.Quiet, 200 * time.Millisecond}, {&cfg.Longest, 2 * time.Second}, {&cfg.Poll, 5 * time.Second}} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	return &Watcher{
		cfg:     cfg,
		stop:    make(chan struct{}),
		done:    make(chan struct{}),
		watched: map[string]identity{},
	}
}

// Close ends the watching; it waits for a Changed that is under way.
func (w *Watcher) Close() {
	w.closeOnce.Do(func() { close(w.stop) })
	<-w.done
}

// poll gives inotify up.
func (w *Watcher) poll(err error) {
	w.cfg.Logger.Warn(
		"folder is not watched but looked at from time to time: raise fs.inotify.max_user_instances or max_user_watches (sysctl) and start again",
		zap.String("folder", w.cfg.Folder),
		zap.Duration("every", w.cfg.Poll),
		zap.Error(err),
	)
	if w.notify != nil {
		_ = w.notify.Close()
		w.notify = nil
	}
}

func (w *Watcher) run() {
	defer close(w.done)
	defer func() {
		if w.notify != nil {
			_ = w.notify.Close()
		}
	}()
	w.look()
	poll := time.NewTicker(w.cfg.Poll)
	defer poll.Stop()
	for {
		var events <-chan fsnotify.Event
		var failures <-chan error
		if w.notify != nil {
			events, failures = w.notify.Events, w.notify.Errors
		}
		select {
		case <-w.stop:
			return
		case <-poll.C:
			if w.notify == nil || w.moved() {
				w.look()
			}
		case e := <-events:
			if w.counts(e) && w.settle() {
				w.look()
			}
		case err := <-failures: // more events than the kernel keeps
			w.cfg.Logger.Debug("watching missed something", zap.Error(err))
			w.forgetAll()
			w.look()
		}
	}
}

// settle waits until nothing has happened for a while, but not for ever. False:
// closed.
func (w *Watcher) settle() bool {
	quiet, longest := time.NewTimer(w.cfg.Quiet), time.NewTimer(w.cfg.Longest)
	defer quiet.Stop()
	defer longest.Stop()
	for {
		select {
		case <-w.stop:
			return false
		case <-quiet.C:
			return true
		case <-longest.C:
			return true
		case e := <-w.notify.Events:
			if w.counts(e) {
				quiet.Reset(w.cfg.Quiet)
			}
		case err := <-w.notify.Errors:
			w.cfg.Logger.Debug("watching missed something", zap.Error(err))
			w.forgetAll()
			return true
		}
	}
}

// look sets the watches first, so that nothing that happens after is lost, and
// then tells.
func (w *Watcher) look() {
	if w.notify != nil {
		if err := w.watch(); err != nil {
			w.poll(err)
		}
	}
	w.cfg.Changed()
}

// counts tells whether an event may concern the folder's files, and forgets the
// watches that it ended.
func (w *Watcher) counts(e fsnotify.Event) bool {
	path := filepath.Clean(e.Name)
	if _, known := w.watched[path]; known {
		// the folder itself: moved, removed, made, its mode changed
		if !e.Has(fsnotify.Chmod) {
			w.forget(path) // a new one may have the inode of the old one
		}
		return true
	}
	dir, name := filepath.Split(path)
	dir = filepath.Clean(dir)
	return dir == w.real && w.cfg.Wanted(name) || w.names[dir][name]
}

// watch watches all folders that decide what the folder and its files are. Only
// an error of the kernel's limits is returned.
func (w *Watcher) watch() (full error) {
	w.names, w.real = map[string]map[string]bool{}, ""
	enter := func(dir, name string) {
		if w.names[dir] == nil {
			w.names[dir] = map[string]bool{}
			full = cmp.Or(full, w.add(dir))
		}
		w.names[dir][name] = true
	}
	if folder, there := follow(w.cfg.Folder, enter); there {
		w.real = folder
		enter(folder, "")
		// when it cannot be read, whoever looks for scripts says so
		entries, _ := os.ReadDir(folder)
		for _, e := range entries {
			if e.Type()&fs.ModeSymlink != 0 && w.cfg.Wanted(e.Name()) {
				follow(filepath.Join(folder, e.Name()), enter)
			}
		}
	}
	for dir := range w.watched {
		if w.names[dir] == nil {
			w.forget(dir)
		}
	}
	return full
}

// add watches dir, unless it does so already. An error is one of the kernel's
// limits: what cannot be watched for another reason is not watched, or not
// there.
func (w *Watcher) add(dir string) error {
	id, err := identify(dir)
	if err != nil {
		w.forget(dir)
		return nil
	}
	if w.watched[dir] == id {
		return nil
	}
	w.forget(dir)
	err = w.notify.Add(dir)
	for _, limit := range []error{unix.ENOSPC, unix.EMFILE, unix.ENFILE, unix.ENOMEM} {
		if errors.Is(err, limit) {
			return err
		}
	}
	if err != nil {
		w.cfg.Logger.Debug("folder is not watched", zap.String("folder", dir), zap.Error(err))
	}
	w.watched[dir] = id
	return nil
}

func (w *Watcher) forget(dir string) {
	if _, known := w.watched[dir]; known {
		_ = w.notify.Remove(dir) // the watch may be gone with the folder
		delete(w.watched, dir)
	}
}

func (w *Watcher) forgetAll() {
	for dir := range w.watched {
		w.forget(dir)
	}
}

// moved tells whether a folder is another one than the one that is watched:
// mounts make no events.
func (w *Watcher) moved() bool {
	for dir := range w.names {
		if id, err := identify(dir); err != nil || id != w.watched[dir] {
			return true
		}
	}
	return false
}

func identify(dir string) (identity, error) {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return identity{}, err
	}
	return identity{st.Dev, st.Ino}, nil
}
