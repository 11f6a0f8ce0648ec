package trust

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// maxTree is the number of files above which CheckTree gives up. The runtime of
// SystemTap has about 200, all of its tapsets 700.
const maxTree = 10_000

// CheckTree checks the directory at path as Check does, and everything below
// it. It follows symlinks, as stap does when it reads tapsets. A symlink to
// nothing below path is no error.
func CheckTree(path string, id Identity) error {
	resolved, err := (&walk{id: id}).follow(path)
	if err != nil {
		return asUntrusted(err)
	}
	t := tree{
		id:    id,
		seen:  map[string]bool{resolved: true},
		limit: maxTree,
	}
	return asUntrusted(t.checkBelow(resolved))
}

// tree is the state of one CheckTree.
type tree struct {
	id    Identity
	seen  map[string]bool // paths without symlinks
	limit int             // of seen
}

// checkBelow checks everything below dir, which may be a file, too.
func (t *tree) checkBelow(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		path, err := (&walk{id: t.id}).follow(filepath.Join(dir, entry.Name()))
		if errors.Is(err, fs.ErrNotExist) || t.seen[path] {
			continue
		}
		if err != nil {
			return err
		}
		if t.seen[path] = true; len(t.seen) > t.limit {
			return fmt.Errorf("%w: %q and its subdirectories have more than %d files", ErrUntrusted, dir, t.limit)
		}
		if err := t.checkBelow(path); err != nil {
			return err
		}
	}
	return nil
}
