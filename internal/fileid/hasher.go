package fileid

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	// A file that changed less than this ago may change again within the same
	// tick of the clock that stamps it, so its hash is not remembered yet.
	settled = 2 * time.Second

	maxFiles = 20_000 // a directory of more is no tapset, and hashing it would delay the start
	maxDepth = 16     // against directories with a symlink to themselves
)

// Hasher hashes files and remembers each hash as long as stat reports the same
// file. Its methods may be called from any goroutine.
type Hasher struct {
	mu    sync.Mutex
	known map[string]hashed
}

type hashed struct {
	id  Stamp
	sum string
}

// File returns the SHA-256 of the file at path, in hex.
func (h *Hasher) File(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() { // reading a FIFO would block
		return "", fmt.Errorf("hash %s: not a regular file", path)
	}
	id := StampOf(info)
	h.mu.Lock()
	known, ok := h.known[path]
	h.mu.Unlock()
	if ok && known.id == id {
		return known.sum, nil
	}
	sum, err := hashFile(path)
	if err != nil {
		return "", err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.known, path)
	if time.Since(time.Unix(0, id.CTime)) > settled {
		if h.known == nil {
			h.known = map[string]hashed{}
		}
		h.known[path] = hashed{id, sum}
	}
	return sum, nil
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// Dir adds name and hash of each file below dir to the digest, in a fixed
// order. With exts it takes only files whose name ends in one of them. Symlinks
// are followed. A directory that does not exist counts as empty.
func (h *Hasher) Dir(d *Digest, dir string, exts ...string) error {
	left := maxFiles
	return h.walk(d, dir, "", exts, 0, &left)
}

func (h *Hasher) walk(d *Digest, dir, below string, exts []string, depth int, left *int) error {
	entries, err := os.ReadDir(filepath.Join(dir, below)) // sorted
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("hash directory: %w", err)
	}
	if *left -= len(entries); *left < 0 || depth > maxDepth {
		return fmt.Errorf("hash directory %s: more than %d files, or %d directories deep", dir, maxFiles, maxDepth)
	}
	for _, e := range entries {
		name := filepath.Join(below, e.Name())
		kind := e.Type()
		if kind&fs.ModeSymlink != 0 {
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil {
				continue // its target does not exist, for stap either
			}
			kind = info.Mode().Type()
		}
		switch {
		case kind.IsDir():
			if err := h.walk(d, dir, name, exts, depth+1, left); err != nil {
				return err
			}
		case kind.IsRegular() && hasExt(name, exts):
			sum, err := h.File(filepath.Join(dir, name))
			if err != nil {
				return fmt.Errorf("hash directory: %w", err)
			}
			d.Add(name, sum)
		}
	}
	return nil
}

func hasExt(name string, exts []string) bool {
	for _, ext := range exts {
		if strings.HasSuffix(name, ext) {
			return true
		}
	}
	return len(exts) == 0
}
