package modcache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"stap-exporter/internal/proc"
)

const (
	lockFile = ".lock"

	putWait     = 10 * time.Second // the holder writes a few hundred kilobytes
	cleanupWait = 2 * time.Second  // a temporary file that stays does no harm
)

// lock excludes other writers, of this process and of others: they would
// combine one's module with the other's manifest, and trim at the same time.
// Readers take no lock. It fails when another process, for example a stopped
// one, holds the lock for longer than wait.
func (c *Cache) lock(wait time.Duration) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(c.dir, lockFile), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	limit := time.Now().Add(wait)
	for p := proc.NewPauses(time.Millisecond, 50*time.Millisecond); ; time.Sleep(p.Next()) {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EWOULDBLOCK) {
			break
		}
		if time.Now().After(limit) {
			err = fmt.Errorf("held by another process for more than %v", wait)
			break
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock module cache: %w", err)
	}
	return func() { _ = f.Close() }, nil
}
