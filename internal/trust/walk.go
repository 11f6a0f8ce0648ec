package trust

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Limits of one walk.
const (
	maxLinks  = 40 // symlinks, as in the kernel
	maxImages = 8  // images of file systems; an image can lie in another image
)

// walk follows a path and checks what it meets.
type walk struct {
	id       Identity
	makeDirs bool // make missing directories
	links    int  // symlinks followed
	images   int  // images checked

	device     uint64 // of the last node checked; 0 before the first
	unwritable bool   // nobody can write to its file system
}

// node is a file or directory on the way. It is held open (O_PATH), so that
// what is checked is what the next name is looked up in.
type node struct {
	fd     int
	path   string // absolute, without symlinks
	stat   unix.Stat_t
	shared bool // other users can create files in it
}

func (n node) close() { _ = unix.Close(n.fd) }

func (n node) is(format uint32) bool { return n.stat.Mode&unix.S_IFMT == format }

// follow checks everything on the way to path, and returns the path without
// symlinks. It resolves one name at a time, as the kernel does.
func (w *walk) follow(path string) (resolved string, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return "", err
	}
	at, err := w.root()
	if err != nil {
		return "", err
	}
	defer func() { at.close() }()
	for rest := path; ; {
		name, after, _ := strings.Cut(strings.TrimLeft(rest, "/"), "/")
		rest = after
		switch name {
		case "":
			if w.makeDirs && !at.is(unix.S_IFDIR) {
				return "", &fs.PathError{
					Op:   "open",
					Path: at.path,
					Err:  unix.ENOTDIR,
				}
			}
			return at.path, nil
		case ".":
			continue
		}
		next, err := w.enter(at, name)
		if err != nil {
			return "", err
		}
		if !next.is(unix.S_IFLNK) {
			at.close()
			at = next
			continue
		}
		target, err := w.readLink(at, next)
		next.close()
		if err != nil {
			return "", err
		}
		if w.links++; w.links > maxLinks {
			return "", &fs.PathError{
				Op:   "open",
				Path: path,
				Err:  unix.ELOOP,
			}
		}
		if filepath.IsAbs(target) {
			root, err := w.root()
			if err != nil {
				return "", err
			}
			at.close()
			at = root
		}
		rest = target + "/" + rest
	}
}

// root returns the root directory, checked.
func (w *walk) root() (node, error) { return w.checked(unix.AT_FDCWD, "/", "/") }

// enter returns the entry name of dir: a symlink, or anything else, checked.
func (w *walk) enter(dir node, name string) (node, error) {
	// filepath.Join resolves "..", rightly, since dir.path has no symlinks.
	path := filepath.Join(dir.path, name)
	n, err := w.checked(dir.fd, name, path)
	if !errors.Is(err, fs.ErrNotExist) {
		return n, err
	}
	switch {
	case w.makeDirs:
		if err := unix.Mkdirat(dir.fd, name, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
			return node{}, &fs.PathError{
				Op:   "mkdir",
				Path: path,
				Err:  err,
			}
		}
		return w.checked(dir.fd, name, path)
	case dir.shared:
		return node{}, fmt.Errorf("%w: %q does not exist, and any user can create it", ErrUntrusted, path)
	}
	return node{}, err
}

// checked opens the entry name of the directory dirfd and, unless it is a
// symlink, checks it.
func (w *walk) checked(dirfd int, name, path string) (node, error) {
	n, err := open(dirfd, name, path)
	if err != nil || n.is(unix.S_IFLNK) {
		return n, err
	}
	if n.shared, err = w.check(n); err != nil {
		n.close()
		return node{}, err
	}
	return n, nil
}

// open opens without following a symlink. O_DIRECTORY comes first, because
// without it an automount point is opened and not what would be mounted there.
func open(dirfd int, name, path string) (node, error) {
	const flags = unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC
	n := node{fd: -1, path: path}
	err := noEINTR(func() (err error) {
		n.fd, err = unix.Openat(dirfd, name, flags|unix.O_DIRECTORY, 0)
		if errors.Is(err, unix.ENOTDIR) {
			n.fd, err = unix.Openat(dirfd, name, flags, 0)
		}
		return err
	})
	if err == nil {
		if err = unix.Fstat(n.fd, &n.stat); err != nil {
			n.close()
		}
	}
	if err != nil {
		return node{}, &fs.PathError{
			Op:   "open",
			Path: path,
			Err:  err,
		}
	}
	return n, nil
}

// noEINTR calls f again while a signal interrupts it, as slow file systems let
// one do.
func noEINTR(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// readLink returns the target of the symlink link in dir.
func (w *walk) readLink(dir, link node) (string, error) {
	system, err := fileSystem(link)
	if err != nil {
		return "", err
	}
	if system == unix.PROC_SUPER_MAGIC {
		return "", fmt.Errorf("%w: %q is a symlink of procfs: name the file itself", ErrUntrusted, link.path)
	}
	if dir.shared {
		if err := w.id.checkOwner(link, "chown -h root"); err != nil {
			return "", err
		}
	}
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(link.fd, "", target)
	if err == nil && n == 0 {
		err = unix.ENOENT
	}
	if err != nil {
		return "", &fs.PathError{
			Op:   "readlink",
			Path: link.path,
			Err:  err,
		}
	}
	return string(target[:n]), nil
}
