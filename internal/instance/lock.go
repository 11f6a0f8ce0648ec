package instance

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrLocked is wrapped by Instance.Lock when another process has the instance.
var ErrLocked = errors.New("the same exporter is already running")

// Lock is a held instance. It is held until Release or the end of the process,
// whatever that end is. Keep it reachable: the lock goes with the value when
// that is collected.
type Lock struct {
	file *os.File
}

// Lock takes the instance for this process by an flock(2) on ID.lock in dir, a
// folder that must be there and be writable by this user only. It does not
// wait: while another process has the instance the error wraps ErrLocked, and
// says which process that is and what can be done.
//
// The process id in the file is for people; what counts is the flock. The file
// is never deleted, because whoever has opened it and not yet locked it would
// then lock a file that no later process can see.
func (i Instance) Lock(dir string) (*Lock, error) {
	path := filepath.Join(dir, i.ID+".lock")
	// os adds O_CLOEXEC
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open instance lock: %w", err)
	}
	l := &Lock{file: file}
	if err := l.take(); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("lock instance file %q: %w", path, err)
	}
	return l, nil
}

func (l *Lock) take() error {
	err := unix.Flock(int(l.file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf(
			"%w as %s, with this user, folder and address: choose another port or another scripts folder",
			ErrLocked,
			l.holder(),
		)
	}
	if err != nil {
		return err
	}
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err = l.file.WriteAt(fmt.Appendln(nil, os.Getpid()), 0)
	return err
}

// holder returns "process N" for the process that has the lock, or other words
// while it has not yet written its id.
func (l *Lock) holder() string {
	var b [20]byte
	n, _ := l.file.ReadAt(b[:], 0)
	osPID, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err != nil {
		return "another process"
	}
	return fmt.Sprintf("process %d", osPID)
}

// Release gives the instance up. The file stays, empty. A second Release does
// nothing.
func (l *Lock) Release() {
	// In this order: a process id must not outlive its lock. Nothing depends on
	// whether it works.
	_ = l.file.Truncate(0)
	_ = l.file.Close()
}
