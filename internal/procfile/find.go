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

// fileName is the name of the prometheus tapset's procfs probe, in both
// runtimes.
const fileName = "__prometheus"

// Roots are the directories below which running scripts have their files, as
// ROOT/MODULE/__prometheus.
type Roots struct {
	Kernel string // kernel-module runtime
	FIFO   string // bpf runtime
}

// DefaultRoots returns the directories that SystemTap uses: /proc/systemtap,
// and /var/tmp/systemtap-USER for the effective user of this process, which is
// the user whose name stapbpf takes. For a user id without a name, with which
// stapbpf does not run, USER is the number.
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
	FIFO bool // a FIFO of the bpf runtime; otherwise the procfs file of a kernel module
	// Abandonable says that a Read may end early. It is false for a FIFO whose
	// writer dies of SIGPIPE when its reader closes before the end. The context
	// of such a Read must not end unless the script may end too.
	Abandonable bool
	// WasEmpty says that the latest Read returned ErrEmpty. The next one then
	// waits for less time.
	WasEmpty bool
}

// Find returns the file of the running module. While there is none, the error
// wraps fs.ErrNotExist. Find tries the kernel's file first.
//
// /var/tmp is writable by everyone, so a FIFO counts only where no other user
// can have created it: the FIFO root and the module's directory in it must be
// directories (no symlinks) that belong to the effective user of this process
// and are not writable by everyone, and the file must be a FIFO. Otherwise Find
// returns an error that does not wrap fs.ErrNotExist.
//
// direct says that the FIFO's writer is a child of this process and ignores
// SIGPIPE; it decides File.Abandonable. A kernel file is always abandonable.
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
	moduleDir := filepath.Join(root, module)
	for _, dir := range []string{root, moduleDir} {
		if err := checkDirectory(dir); err != nil {
			return "", err
		}
	}
	path := filepath.Join(moduleDir, fileName)
	st, err := lstat(path)
	if err != nil {
		return "", err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return "", fmt.Errorf("%q is not a FIFO", path)
	}
	return path, nil
}

// checkDirectory returns nil for a directory in which only the user of this
// process, or its group, can have created files.
func checkDirectory(dir string) error {
	st, err := lstat(dir)
	if err != nil {
		return err
	}
	switch euid := os.Geteuid(); {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fmt.Errorf("%q is not a directory", dir)
	case int(st.Uid) != euid:
		return fmt.Errorf("directory %q belongs to user id %d, not to %d of this process", dir, st.Uid, euid)
	case st.Mode&unix.S_IWOTH != 0:
		return fmt.Errorf("directory %q is writable by everyone", dir)
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
