package script

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"stap-exporter/internal/trust"
)

// CheckTrust returns nil when only root and id can change the script, and what
// its options name that is compiled or runs with the exporter's rights: tapsets
// (-I), SystemTap's runtime (-R), a kernel's build tree (-r), and the
// executable of -c. Else the error matches trust.ErrUntrusted.
//
// The executable of -c is its first word; what a shell in it starts is not
// known. -x names a process, and runs nothing. What an option names and is
// missing is no error; stap reports it.
func (s Script) CheckTrust(id trust.Identity) error {
	if err := trust.Check(s.Path, id); err != nil {
		return err
	}
	given, err := splitOptions(s.Options.Stap)
	if err != nil {
		return nil // stap reports it
	}
	for _, g := range given {
		path, check := g.value, trust.Check
		switch g.name {
		case "-I", "-R":
			check = trust.CheckTree
		case "-r": // the release of a kernel, or the path of its build tree
		case "-c":
			path = executable(g.value)
		default:
			continue
		}
		if !filepath.IsAbs(path) {
			continue // below the directory of the run, which has no such files
		}
		if err := check(path, id); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("option %v: %w", g, err)
		}
	}
	return nil
}

// executable returns the path of the program that a command line starts, found
// in PATH as execvp(3) does, or "".
func executable(command string) string {
	words, err := splitWords(command)
	if err != nil || len(words) == 0 {
		return ""
	}
	name := words[0]
	if strings.Contains(name, "/") {
		return name
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
			return path
		}
	}
	return ""
}
