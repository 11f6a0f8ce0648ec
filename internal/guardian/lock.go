package guardian

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"stap-exporter/internal/proc"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// LockWait is how long a start waits for the guardian of a dead exporter,
// whose work is bounded by less.
const LockWait = 30 * time.Second

// Lock locks Dir for this process and its guardians with an flock(2),
// which is held until the last of them has ended. When another process holds it
// although the exporter's instance is free, that is the guardian of an earlier
// exporter that was killed, which is still cleaning up. This exporter's scripts
// have the same names, so it waits.
func Lock(dir string, wait time.Duration, log *zap.Logger) (*os.File, error) {
	path := filepath.Join(dir, "guardian.lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open guardian's lock: %w", err)
	}
	limit := time.Now().Add(wait)
	for p, said := proc.NewPauses(20*time.Millisecond, 200*time.Millisecond), false; ; time.Sleep(p.Next()) {
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
				"lock %s: the guardian of an earlier exporter (process %s) has been cleaning up for more than %v: try again, or end it",
				path,
				readPID(path),
				wait,
			)
		}
		if !said {
			log.Info("waiting for the guardian of an earlier exporter to clean up", zap.String("os_pid", readPID(path)))
			said = true
		}
	}
}

func readPID(path string) string {
	text, _ := os.ReadFile(path)
	return strings.TrimSpace(string(text))
}
