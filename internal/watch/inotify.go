package watch

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// inode identifies a directory, independent of its path.
type inode struct{ dev, ino uint64 }

func inodeOf(dir string) (inode, error) {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return inode{}, err
	}
	return inode{st.Dev, st.Ino}, nil
}

// relevant reports whether an event may concern the files of the directory. It
// forgets the watch that the event ended.
func (w *Watcher) relevant(e fsnotify.Event) bool {
	path := filepath.Clean(e.Name)
	if _, known := w.watched[path]; known {
		// The watched directory itself was moved, removed or created, or its
		// mode changed.
		if !e.Has(fsnotify.Chmod) {
			w.forget(path) // a new directory may have the inode of the old one
		}
		return true
	}
	dir, name := filepath.Split(path)
	dir = filepath.Clean(dir)
	return dir == w.real && w.cfg.Match(name) || w.names[dir][name]
}

// updateWatches watches all directories that determine what the directory and
// its files are. It returns an error only when a limit of the kernel is
// reached.
func (w *Watcher) updateWatches() (limit error) {
	w.names, w.real = map[string]map[string]bool{}, ""
	enter := func(dir, name string) {
		if w.names[dir] == nil {
			w.names[dir] = map[string]bool{}
			limit = cmp.Or(limit, w.add(dir))
		}
		w.names[dir][name] = true
	}
	if dir, ok := follow(w.cfg.Directory, enter); ok {
		w.real = dir
		enter(dir, "")
		// The receiver of Changed reports a directory that cannot be read.
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if e.Type()&fs.ModeSymlink != 0 && w.cfg.Match(e.Name()) {
				follow(filepath.Join(dir, e.Name()), enter)
			}
		}
	}
	for dir := range w.watched {
		if w.names[dir] == nil {
			w.forget(dir)
		}
	}
	return limit
}

// add watches dir, unless it has a watch already. It returns an error only when
// a limit of the kernel is reached. A directory that is missing, or cannot be
// watched for another reason, gets no watch.
func (w *Watcher) add(dir string) error {
	id, err := inodeOf(dir)
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
		w.cfg.Logger.Debug("cannot watch directory", zap.String("directory", dir), zap.Error(err))
	}
	w.watched[dir] = id
	return nil
}

// forget removes the watch of dir, if it has one.
func (w *Watcher) forget(dir string) {
	if _, known := w.watched[dir]; known {
		_ = w.notify.Remove(dir) // fails when the directory is gone, and its watch with it
		delete(w.watched, dir)
	}
}

func (w *Watcher) forgetAll() {
	for dir := range w.watched {
		w.forget(dir)
	}
}

// replaced reports whether a directory is not the one that is watched. A mount
// replaces a directory without an event.
func (w *Watcher) replaced() bool {
	for dir := range w.names {
		if id, err := inodeOf(dir); err != nil || id != w.watched[dir] {
			return true
		}
	}
	return false
}
