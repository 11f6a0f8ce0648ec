package modcache

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"stap-exporter/internal/fileid"
	"stap-exporter/internal/proc"
	"stap-exporter/internal/toolchain"
	"stap-exporter/internal/trust"

	"golang.org/x/sys/unix"
)

// Cache keeps compiled kernel modules: KEY.ko, and KEY.json, the
// manifest. Any number of exporters of one user may share it. Its methods may
// be called from any goroutine.
//
// What it promises: a module that it gives has every byte that was put, was put
// by this user, and was compiled from what its key says, for programs that are
// still the same.
//
// Each file is written under a temporary name and renamed, the manifest last; a
// crash in between leaves a manifest that does not fit its module, or none, and
// that is no entry. Nothing is synced to disk: what a power cut tears is found
// by size and hash.
// There are only kernel modules here. A bpf object holds addresses inside
// programs, too, and nobody checks them when it is loaded.
type Cache struct {
	dir         string
	limit       int64 // bytes of all files
	fingerprint Fingerprint
	hasher      fileid.Hasher
	versions    toolchain.VersionReader
}

// Fingerprint is what the key of every module holds beside its own sources.
type Fingerprint struct {
	Release    string // of the kernel, uname -r
	Version    string // of the kernel, uname -v
	LibModules string // /lib/modules
	Stap       string // path of stap
}

const (
	extManifest = ".json"
	temporary   = ".new-"

	putWait     = 10 * time.Second // for the lock: who holds it writes a few hundred kilobytes
	cleanupWait = 2 * time.Second  // what is then left does no harm

	// the age at which a file without its other half is nobody's work in
	// progress
	abandonedAge = time.Hour
)

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
// fs.ErrNotExist when there is no such entry; any other says why the entry that
// is there must not be loaded.
//
// What is loaded is the copy, in a folder of the caller's own: whatever happens
// to the cache after the check, the kernel gets what was checked.
func (c *Cache) Get(key, module, to string) error {
	info, err := os.Lstat(c.dir)
	if err != nil {
		return err
	}
	if err := onlyOurs(c.dir, info); err != nil {
		return err
	}
	m, err := readManifest(c.path(key, extManifest), key, module)
	if err != nil {
		return err
	}
	for _, p := range m.Executables {
		if err := p.changed(); err != nil {
			return err
		}
	}
	ko, err := openOwn(c.path(key, toolchain.ModuleSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("the module is gone, its manifest is not")
	}
	if err != nil {
		return err
	}
	defer func() { _ = ko.Close() }()
	if err := copyChecked(ko, to, m); err != nil {
		_ = os.Remove(to)
		return err
	}
	now := time.Now()
	// used just now; at worst it goes earlier than it should
	_ = os.Chtimes(c.path(key, extManifest), now, now)
	return nil
}

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
		return errors.New("the module is not what its manifest says")
	}
	return nil
}

// put keeps a module. m has Size and SHA256 set from it. Afterwards the least
// recently used entries are removed until all fit the limit; a module that
// alone is too large is not kept.
func (c *Cache) put(m manifest, module []byte) error {
	sum := sha256.Sum256(module)
	m.Size, m.SHA256 = int64(len(module)), hex.EncodeToString(sum[:])
	text, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	if size := m.Size + int64(len(text)); size > c.limit {
		return fmt.Errorf("it has %d bytes, the whole cache may have %d", size, c.limit)
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

// write puts a file there whole or not at all.
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

// lock keeps other exporters from writing at the same time, which would mix
// one's module with the other's manifest, and from counting twice. Readers take
// no lock. A holder that does not let go within wait, such as a stopped
// process, is an error.
func (c *Cache) lock(wait time.Duration) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(c.dir, ".lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
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
			err = fmt.Errorf("another process holds it for more than %v", wait)
			break
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock module cache: %w", err)
	}
	return func() { _ = f.Close() }, nil
}

// Remove takes an entry out, the manifest first.
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

// trim removes the least recently used entries, but not keep's, until all files
// together are within the limit, and halves that an exporter left when it was
// killed.
func (c *Cache) trim(keep string) error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	type entry struct {
		key            string
		size           int64
		used           time.Time
		ko, json, lost bool
	}
	byKey := map[string]*entry{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || e.Name() == ".lock" {
			continue
		}
		if strings.HasPrefix(e.Name(), temporary) {
			if time.Since(info.ModTime()) > abandonedAge {
				_ = os.Remove(filepath.Join(c.dir, e.Name()))
			}
			continue
		}
		key, ext, _ := strings.Cut(e.Name(), ".")
		one := byKey[key]
		if one == nil {
			one = &entry{key: key}
			byKey[key] = one
		}
		one.size += info.Size()
		one.ko = one.ko || "."+ext == toolchain.ModuleSuffix
		one.json = one.json || "."+ext == extManifest
		if "."+ext == extManifest || one.used.IsZero() {
			one.used = info.ModTime()
		}
	}
	var all []*entry
	var total int64
	for _, e := range byKey {
		total += e.size
		e.lost = e.ko != e.json && time.Since(e.used) > abandonedAge
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b *entry) int { return cmp.Or(a.used.Compare(b.used), strings.Compare(a.key, b.key)) })
	for _, e := range all {
		if e.key == keep || !e.lost && total <= c.limit {
			continue
		}
		if err := c.Remove(e.key); err != nil {
			return fmt.Errorf("remove cached module: %w", err)
		}
		total -= e.size
	}
	return nil
}

// RemoveTemporary removes the files in the cache directory dir that an exporter
// was writing when it was killed. The cache may be shared, but its writers hold
// its lock: while this process holds it nobody is writing.
func RemoveTemporary(dir string) {
	find := func() []string {
		files, _ := filepath.Glob(filepath.Join(dir, temporary+"*"))
		return files
	}
	if len(find()) == 0 {
		return
	}
	unlock, err := (&Cache{dir: dir}).lock(cleanupWait)
	if err != nil {
		return
	}
	defer unlock()
	for _, path := range find() {
		_ = os.Remove(path) // what cannot be removed does no harm
	}
}
