package fileid

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// A file that changed less than this ago may change again within the same
	// tick of the file system's clock, with the same Stamp. Its hash is not
	// remembered yet.
	settledAge = 2 * time.Second

	maxFiles = 20_000 // hashing more would delay a start, and no tapset has as many
	maxDepth = 16     // ends the walk of a directory with a symlink to itself
)

// Hasher hashes files and remembers each hash as long as stat reports the same
// file. The zero value is ready for use. Its methods may be called from any
// goroutine.
type Hasher struct {
	mu    sync.Mutex
	known map[string]fileHash // by path
}

type fileHash struct {
	stamp Stamp
	sum   string // SHA-256, in hex
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
	stamp := StampOf(info)
	h.mu.Lock()
	known, ok := h.known[path]
	h.mu.Unlock()
	if ok && known.stamp == stamp {
		return known.sum, nil
	}
	sum, err := hashFile(path)
	if err != nil {
		return "", err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.known, path)
	if time.Since(time.Unix(0, stamp.CTime)) > settledAge {
		if h.known == nil {
			h.known = map[string]fileHash{}
		}
		h.known[path] = fileHash{stamp, sum}
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

// Dir adds the name and hash of each file below dir to the digest, in a fixed
// order. If exts are given it skips files whose name ends in none of them. It
// follows symlinks. A directory that does not exist counts as empty; one with
// too many files or levels is an error.
func (h *Hasher) Dir(d *Digest, dir string, exts ...string) error {
	budget := maxFiles
	return h.walk(d, dir, "", exts, 0, &budget)
}

// walk adds the files of dir/below, whose names are relative to dir. budget is
// how many more directory entries may be read.
func (h *Hasher) walk(d *Digest, dir, below string, exts []string, depth int, budget *int) error {
	entries, err := os.ReadDir(filepath.Join(dir, below)) // sorted
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("hash directory: %w", err)
	}
	if *budget -= len(entries); *budget < 0 || depth > maxDepth {
		return fmt.Errorf("hash directory %s: more than %d files or %d levels", dir, maxFiles, maxDepth)
	}
	for _, e := range entries {
		name := filepath.Join(below, e.Name())
		kind := e.Type()
		if kind&fs.ModeSymlink != 0 {
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil {
				continue // stap cannot read it either
			}
			kind = info.Mode().Type()
		}
		switch {
		case kind.IsDir():
			if err := h.walk(d, dir, name, exts, depth+1, budget); err != nil {
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
	return len(exts) == 0 || slices.ContainsFunc(exts, func(ext string) bool { return strings.HasSuffix(name, ext) })
}
