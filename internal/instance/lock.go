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

// ErrLocked means that another process holds the instance.
var ErrLocked = errors.New("the same exporter is already running")

// Lock holds an instance until Release or the end of the process, however that
// ends. Keep it reachable: a collected Lock releases the instance.
type Lock struct {
	file *os.File
}

// Lock takes the instance for this process by an flock(2) on ID.lock in dir.
// The directory must exist, and only this user may be able to write to it. Lock
// does not wait: if another process holds the instance, the error wraps
// ErrLocked, and names that process and a remedy.
//
// The process id in the file is for people; only the flock counts. The file is
// never deleted, because a process that has opened it but not locked it yet
// would then lock a file that later processes cannot see.
func (i Instance) Lock(dir string) (*Lock, error) {
	path := filepath.Join(dir, i.ID+".lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open instance lock: %w", err)
	}
	l := &Lock{file: file}
	if err := l.acquire(); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("lock instance file %q: %w", path, err)
	}
	return l, nil
}

func (l *Lock) acquire() error {
	err := unix.Flock(int(l.file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf(
			"%w as %s, with this user, script directory and address: choose another port or script directory",
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

// holder returns "process N" for the process that holds the lock, or "another
// process" while its id is not in the file yet.
func (l *Lock) holder() string {
	var b [20]byte
	n, _ := l.file.ReadAt(b[:], 0)
	osPID, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err != nil {
		return "another process"
	}
	return fmt.Sprintf("process %d", osPID)
}

// Release releases the instance. The file stays, empty. A second Release does
// nothing.
func (l *Lock) Release() {
	// Truncate first: a process id must not outlive its lock. Errors change
	// nothing, because only the flock counts.
	_ = l.file.Truncate(0)
	_ = l.file.Close()
}
