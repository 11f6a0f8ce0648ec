package modcache

import (
	"errors"
	"os"
	"time"

	"stap-exporter/internal/toolchain"
)

// Keep puts a module into the cache that was compiled since begun.
func (c *Cache) Keep(b toolchain.Build, key, ko string, begun time.Time) error {
	if now := time.Now(); clockWasSet(now.Sub(begun), now.Round(0).Sub(begun.Round(0))) {
		return errors.New("the clock was set while it was compiled, so that nobody can tell what changed meanwhile")
	}
	if now, err := c.Key(b); err != nil || now != key {
		return errors.Join(errors.New("what it is made of changed while it was compiled"), err)
	}
	module, err := os.ReadFile(ko)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(b.Script)
	if err != nil {
		return err
	}
	programs, err := executablesOf(module, text, begun)
	if err != nil {
		return err
	}
	return c.put(manifest{
		Key:         key,
		Module:      b.Module,
		Script:      b.Script,
		Compiled:    begun,
		Executables: programs,
	}, module)
}

// clockWasSet tells whether a time by the clock that only goes on is another
// than by the one that people set.
func clockWasSet(passed, shown time.Duration) bool { return (passed - shown).Abs() > time.Second }
