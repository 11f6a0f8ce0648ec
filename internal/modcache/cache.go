package modcache

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"stap-exporter/internal/fileid"
	"stap-exporter/internal/toolchain"
	"stap-exporter/internal/trust"
)

// Cache is a directory of compiled kernel modules. Its methods may be called
// from any goroutine, and at the same time as those of other processes.
//
// A module that Get returns is byte for byte the module that was stored, was
// stored by this user, and was compiled from what its key covers, for
// executables that have not changed since.
type Cache struct {
	dir         string
	limit       int64 // bytes of all entries
	fingerprint Fingerprint
	hasher      fileid.Hasher
	versions    toolchain.VersionReader
}

const extManifest = ".json"

// New returns the cache in dir, which it makes with mode 0700 if it does not
// exist. All entries together have at most limit bytes.
func New(dir string, limit int64, fingerprint Fingerprint) (*Cache, error) {
	if err := trust.MakePrivate(dir); err != nil {
		return nil, fmt.Errorf("make module cache: %w", err)
	}
	return &Cache{dir: dir, limit: limit, fingerprint: fingerprint}, nil
}

// Dir returns the cache's directory.
func (c *Cache) Dir() string { return c.dir }

func (c *Cache) path(key, ext string) string { return filepath.Join(c.dir, key+ext) }

// Get copies the module of key into the new file to. The error matches
// fs.ErrNotExist when there is no such entry. Any other error says why the
// entry must not be loaded.
//
// The caller loads the copy: later changes in the cache cannot reach the
// kernel.
func (c *Cache) Get(key, module, to string) error {
	info, err := os.Lstat(c.dir)
	if err != nil {
		return err
	}
	if err := checkPrivate(c.dir, info); err != nil {
		return err
	}
	m, err := readManifest(c.path(key, extManifest), key, module)
	if err != nil {
		return err
	}
	for _, e := range m.Executables {
		if err := e.changed(); err != nil {
			return err
		}
	}
	ko, err := openPrivate(c.path(key, toolchain.ModuleSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("cached module is missing, its manifest exists")
	}
	if err != nil {
		return err
	}
	defer func() { _ = ko.Close() }()
	if err := copyChecked(ko, to, m); err != nil {
		_ = os.Remove(to)
		return err
	}
	// The manifest's modification time is the entry's last use. If it cannot
	// be set, the entry is removed earlier than it should be.
	now := time.Now()
	_ = os.Chtimes(c.path(key, extManifest), now, now)
	return nil
}

// copyChecked copies a module into the new file to, and fails when it has not
// the size and hash of m.
func copyChecked(from io.Reader, to string, m manifest) (err error) {
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h), io.LimitReader(from, m.Size+1))
	if err != nil {
		return err
	}
	if n != m.Size || hex.EncodeToString(h.Sum(nil)) != m.SHA256 {
		return errors.New("cached module does not match the size and hash in its manifest")
	}
	return nil
}

// Remove removes the entry of key, the manifest first. It is no error when
// there is none.
func (c *Cache) Remove(key string) error {
	err := os.Remove(c.path(key, extManifest))
	if err2 := os.Remove(c.path(key, toolchain.ModuleSuffix)); err == nil || errors.Is(err, fs.ErrNotExist) {
		err = err2
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
