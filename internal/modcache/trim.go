package modcache

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"stap-exporter/internal/toolchain"
)

// abandonedAge is the age from which a temporary file, or a module or manifest
// without the other, belongs to no writer any more.
const abandonedAge = time.Hour

// entry is what the directory holds for one key.
type entry struct {
	key         string
	size        int64     // of its files, in bytes
	used        time.Time // modification time of the manifest, or else of the module
	hasModule   bool
	hasManifest bool
}

// abandoned reports that an exporter was killed while it wrote the entry.
func (e *entry) abandoned() bool {
	return e.hasModule != e.hasManifest && time.Since(e.used) > abandonedAge
}

// trim removes abandoned files, and then the least recently used entries, but
// not that of the key keep, until all together are within the limit. The caller
// holds the lock.
func (c *Cache) trim(keep string) error {
	entries, err := c.entries()
	if err != nil {
		return err
	}
	var total int64
	for _, e := range entries {
		total += e.size
	}
	for _, e := range entries {
		if e.key == keep || !e.abandoned() && total <= c.limit {
			continue
		}
		if err := c.Remove(e.key); err != nil {
			return fmt.Errorf("remove cached module: %w", err)
		}
		total -= e.size
	}
	return nil
}

// entries returns the entries, the least recently used first. It removes
// abandoned temporary files.
func (c *Cache) entries() ([]*entry, error) {
	files, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, err
	}
	byKey := map[string]*entry{}
	var all []*entry
	for _, f := range files {
		info, err := f.Info()
		if err != nil || f.Name() == lockFile {
			continue
		}
		if strings.HasPrefix(f.Name(), temporary) {
			if time.Since(info.ModTime()) > abandonedAge {
				_ = os.Remove(filepath.Join(c.dir, f.Name()))
			}
			continue
		}
		key, ext, _ := strings.Cut(f.Name(), ".")
		ext = "." + ext
		e := byKey[key]
		if e == nil {
			e = &entry{key: key}
			byKey[key] = e
			all = append(all, e)
		}
		e.size += info.Size()
		e.hasModule = e.hasModule || ext == toolchain.ModuleSuffix
		e.hasManifest = e.hasManifest || ext == extManifest
		if ext == extManifest || e.used.IsZero() {
			e.used = info.ModTime()
		}
	}
	slices.SortFunc(all, func(a, b *entry) int {
		return cmp.Or(a.used.Compare(b.used), strings.Compare(a.key, b.key))
	})
	return all, nil
}

// RemoveTemporary removes the files that an exporter was writing to the cache
// in dir when it was killed. It holds the cache's lock meanwhile, so that no
// file belongs to a writer. It ignores errors: such files do no harm, and trim
// removes them later.
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
		_ = os.Remove(path)
	}
}
