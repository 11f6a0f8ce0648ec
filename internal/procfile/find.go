package procfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// fileName is what the prometheus tapset calls its procfs probe, in both
// runtimes.
const fileName = "__prometheus"

// Roots are the folders below which running scripts offer their files, as
// ROOT/MODULE/__prometheus.
type Roots struct {
	Kernel string // kernel-module runtime
	FIFO   string // bpf runtime
}

// DefaultRoots returns the folders that SystemTap uses: /proc/systemtap, and
// /var/tmp/systemtap-USER for the user of this process's effective id (stapbpf
// takes the name from there, too).
// An id without a name, with which stapbpf does not run at all, gives its
// number instead.
func DefaultRoots() Roots {
	name := strconv.Itoa(os.Geteuid())
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	return Roots{Kernel: "/proc/systemtap", FIFO: "/var/tmp/systemtap-" + name}
}

// File is the procfs file of one running script.
type File struct {
	Path string
	FIFO bool // bpf runtime: a FIFO; otherwise the kernel module's procfs file
	// false: a FIFO whose writer dies of SIGPIPE when its reader leaves before
	// the end, so the context given to Read must not end before the script
	// shall
	Abandonable bool
	WasEmpty    bool // the latest Read ended with ErrEmpty: the next one waits for less long
}

// Find returns the file of the running module, and an error that is
// fs.ErrNotExist while there is none. The kernel's file is looked for first.
//
// A FIFO counts only where nobody else can have put it, because /var/tmp is
// writable by everyone: the FIFO root and the module's folder in it must be
// real folders (no symlinks) that belong to this process's effective user and
// are not writable by everyone, and the file a FIFO. Anything else there is an
// error that is not fs.ErrNotExist.
//
// direct says that the FIFO's writer is this process's own child and ignores
// SIGPIPE; it decides File.Abandonable. Kernel files are always abandonable.
func (r Roots) Find(module string, direct bool) (File, error) {
	kernel := filepath.Join(r.Kernel, module, fileName)
	_, err := lstat(kernel)
	if err == nil {
		return File{Path: kernel, Abandonable: true}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return File{}, fmt.Errorf("find procfs file of module %s: %w", module, err)
	}
	fifo, err := findFIFO(r.FIFO, module)
	if err != nil {
		return File{}, fmt.Errorf("find procfs file of module %s: %w", module, err)
	}
	return File{Path: fifo, FIFO: true, Abandonable: direct}, nil
}

func findFIFO(root, module string) (string, error) {
	folder := filepath.Join(root, module)
	for _, dir := range []string{root, folder} {
		if err := checkFolder(dir); err != nil {
			return "", err
		}
	}
	path := filepath.Join(folder, fileName)
	st, err := lstat(path)
	if err != nil {
		return "", err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return "", fmt.Errorf("%q is not a FIFO", path)
	}
	return path, nil
}

// checkFolder returns nil for a folder into which only this process's user (or
// its group) can have put something.
func checkFolder(dir string) error {
	st, err := lstat(dir)
	if err != nil {
		return err
	}
	switch euid := os.Geteuid(); {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fmt.Errorf("%q is not a real folder", dir)
	case int(st.Uid) != euid:
		return fmt.Errorf("folder %q belongs to user id %d, not to this process's %d", dir, st.Uid, euid)
	case st.Mode&unix.S_IWOTH != 0:
		return fmt.Errorf("folder %q is writable by everyone", dir)
	}
	return nil
}

func lstat(path string) (unix.Stat_t, error) {
	var st unix.Stat_t
	for {
		switch err := unix.Lstat(path, &st); {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return st, &fs.PathError{Op: "lstat", Path: path, Err: err}
		default:
			return st, nil
		}
	}
}
