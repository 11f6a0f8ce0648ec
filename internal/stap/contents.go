package stap

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
	"syscall"
	"time"
)

const (
	// A file that changed less than this ago may change again within the same
	// tick of the clock that stamps it, so what it holds is not remembered yet.
	settled = 2 * time.Second

	maxFolderFiles = 20_000 // a folder of more is no tapset; to hash it would hold up the start
	maxFolderDepth = 16     // against folders that hold a symlink to themselves
)

// contents hashes files and remembers by what stat says which it has hashed.
// Its methods may be called from any goroutine.
type contents struct {
	mu    sync.Mutex
	known map[string]hashed
}

type hashed struct {
	id  stamp
	sum string
}

// stamp tells one state of a file from another without reading it. The change
// time cannot be set back by those who set the modification time.
type stamp struct {
	Inode uint64 `json:"inode"`
	Size  int64  `json:"size"`
	MTime int64  `json:"mtime"` // nanoseconds since 1970
	CTime int64  `json:"ctime"`
}

func stampOf(info fs.FileInfo) stamp {
	st := info.Sys().(*syscall.Stat_t) // what os gives on Linux
	return stamp{
		Inode: st.Ino,
		Size:  st.Size,
		MTime: st.Mtim.Nano(),
		CTime: st.Ctim.Nano(),
	}
}

// file returns the SHA-256 of the file at path, in hex.
func (c *contents) file(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() { // a FIFO would hold up whoever reads it
		return "", fmt.Errorf("hash %s: not a regular file", path)
	}
	id := stampOf(info)
	c.mu.Lock()
	known, ok := c.known[path]
	c.mu.Unlock()
	if ok && known.id == id {
		return known.sum, nil
	}
	sum, err := hashFile(path)
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, path)
	if time.Since(time.Unix(0, id.CTime)) > settled {
		if c.known == nil {
			c.known = map[string]hashed{}
		}
		c.known[path] = hashed{id, sum}
	}
	return sum, nil
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// folder writes name and hash of each file below dir into digest, in a fixed
// order; of those only whose name ends in one of exts, where there are any.
// Symlinks are followed. A folder that is not there counts as one without
// files.
func (c *contents) folder(d *digest, dir string, exts ...string) error {
	left := maxFolderFiles
	return c.walk(d, dir, "", exts, 0, &left)
}

func (c *contents) walk(d *digest, dir, below string, exts []string, depth int, left *int) error {
	entries, err := os.ReadDir(filepath.Join(dir, below)) // sorted
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("hash folder: %w", err)
	}
	if *left -= len(entries); *left < 0 || depth > maxFolderDepth {
		return fmt.Errorf("hash folder %s: more than %d files, or %d folders deep", dir, maxFolderFiles, maxFolderDepth)
	}
	for _, e := range entries {
		name := filepath.Join(below, e.Name())
		kind := e.Type()
		if kind&fs.ModeSymlink != 0 {
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil {
				continue // it leads nowhere, for stap too
			}
			kind = info.Mode().Type()
		}
		switch {
		case kind.IsDir():
			if err := c.walk(d, dir, name, exts, depth+1, left); err != nil {
				return err
			}
		case kind.IsRegular() && hasExt(name, exts):
			sum, err := c.file(filepath.Join(dir, name))
			if err != nil {
				return fmt.Errorf("hash folder: %w", err)
			}
			d.add(name, sum)
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
