package watch

import (
	"os"
	"path/filepath"
	"strings"
)

// maxLinks is how many symlinks the kernel follows on one path.
const maxLinks = 40

// follow walks path, which is absolute, as the kernel does, one name at a time.
// Before it looks at a name it tells enter the folder, without symlinks, and
// the name in it: what is at that name decides where path leads. It ends where
// there is nothing, at the latest at the path's end.
// The result is where path leads; with false it leads nowhere yet.
func follow(path string, enter func(dir, name string)) (leads string, ok bool) {
	at, links := "/", 0
	for rest := path; ; {
		name, after, _ := strings.Cut(strings.TrimLeft(rest, "/"), "/")
		rest = after
		switch name {
		case "":
			return at, true
		case ".":
			continue
		case "..":
			at = filepath.Dir(at)
			continue
		}
		enter(at, name)
		next := filepath.Join(at, name)
		target, err := os.Readlink(next)
		if err != nil { // no symlink, or nothing at all
			if _, err := os.Lstat(next); err != nil {
				return "", false
			}
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", false
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = target + "/" + rest
	}
}
