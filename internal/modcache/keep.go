package modcache

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"stap-exporter/internal/toolchain"
)

// temporary begins the names of files that are being written.
const temporary = ".new-"

// Keep stores the module in the file ko, which a compile of b that began at
// begun has made. key is what Key(b) returned before the compile. An error says
// why the module is not stored: for example, an input changed during the
// compile, or the module alone is larger than the cache may be.
func (c *Cache) Keep(b toolchain.Build, key, ko string, begun time.Time) error {
	if now := time.Now(); clockWasSet(now.Sub(begun), now.Round(0).Sub(begun.Round(0))) {
		return errors.New("the clock was set during the compile: cannot tell which inputs changed")
	}
	now, err := c.Key(b)
	if err != nil {
		return fmt.Errorf("compute the key again after the compile: %w", err)
	}
	if now != key {
		return errors.New("an input changed during the compile")
	}
	module, err := os.ReadFile(ko)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(b.Script)
	if err != nil {
		return err
	}
	probed, err := executablesOf(module, text, begun)
	if err != nil {
		return err
	}
	return c.put(manifest{
		Key:         key,
		Module:      b.Module,
		Script:      b.Script,
		Compiled:    begun,
		Executables: probed,
	}, module)
}

// clockWasSet compares the durations that the monotonic and the wall clock
// measured for the same time.
func clockWasSet(monotonic, wall time.Duration) bool { return (monotonic - wall).Abs() > time.Second }

// put stores a module, sets Size and SHA256 of m from it, and then removes the
// least recently used entries until all fit the limit.
//
// Each file is written under a temporary name and renamed, the manifest last.
// After a crash in between there is no manifest, or one that does not match the
// module: neither is an entry. Nothing is synced to disk, since size and hash
// reveal what a power failure truncated.
func (c *Cache) put(m manifest, module []byte) error {
	sum := sha256.Sum256(module)
	m.Size, m.SHA256 = int64(len(module)), hex.EncodeToString(sum[:])
	text, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	if size := m.Size + int64(len(text)); size > c.limit {
		return fmt.Errorf("module and manifest have %d bytes, the cache may have %d", size, c.limit)
	}
	unlock, err := c.lock(putWait)
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.write(c.path(m.Key, toolchain.ModuleSuffix), module); err != nil {
		return err
	}
	if err := c.write(c.path(m.Key, extManifest), append(text, '\n')); err != nil {
		return err
	}
	return c.trim(m.Key)
}

// write replaces a file completely or not at all.
func (c *Cache) write(path string, content []byte) error {
	f, err := os.CreateTemp(c.dir, temporary) // mode 0600
	if err != nil {
		return err
	}
	_, err = io.Copy(f, bytes.NewReader(content))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
