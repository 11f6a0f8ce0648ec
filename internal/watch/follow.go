package watch

import (
	"os"
	"path/filepath"
	"strings"
)

// maxLinks is how many symlinks the kernel follows on one path.
const maxLinks = 40

// follow resolves path, which must be absolute, as the kernel does, one name at
// a time. Before it resolves a name it calls enter with the directory, free of
// symlinks, and the name in it: the file of that name determines where path
// leads. follow returns where path leads, or false when a file is missing.
func follow(path string, enter func(dir, name string)) (target string, ok bool) {
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
		link, err := os.Readlink(next)
		if err != nil { // not a symlink, or missing
			if _, err := os.Lstat(next); err != nil {
				return "", false
			}
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", false
		}
		if filepath.IsAbs(link) {
			at = "/"
		}
		rest = link + "/" + rest
	}
}
