package guardian

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"stap-exporter/internal/proc"
)

// LockWait is how long a start waits for the guardian of a dead exporter. The
// guardian's work takes less.
const LockWait = 30 * time.Second

// Lock locks the private directory dir for this process and its guardians, with
// an flock(2) that lasts until the last of them has ended. A caller that owns
// the exporter's instance finds it locked only by the guardian of an earlier
// exporter that was killed, which is still cleaning up. This exporter's modules
// have the same names, so Lock waits for it, at most wait.
func Lock(dir string, wait time.Duration, log *zap.Logger) (*os.File, error) {
	path := filepath.Join(dir, "guardian.lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open guardian's lock: %w", err)
	}
	limit := time.Now().Add(wait)
	logged := false
	for p := proc.NewPauses(20*time.Millisecond, 200*time.Millisecond); ; time.Sleep(p.Next()) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if time.Now().After(limit) {
			_ = f.Close()
			return nil, fmt.Errorf(
				"lock %s: the guardian of an earlier exporter (process %s) has been cleaning up for more than %v: "+
					"try again, or end it",
				path,
				readPID(path),
				wait,
			)
		}
		if !logged {
			log.Info("waiting for the guardian of an earlier exporter to clean up", zap.String("os_pid", readPID(path)))
			logged = true
		}
	}
}

// readPID returns the process id that a guardian has written into its lock.
func readPID(path string) string {
	text, _ := os.ReadFile(path)
	return strings.TrimSpace(string(text))
}
