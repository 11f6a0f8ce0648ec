package script

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"stap-exporter/internal/instance"
)

// Ext is the suffix of every script's name.
const Ext = ".stp"

// Catalogue is the result of Scan. Each list is sorted by name, byte by byte.
type Catalogue struct {
	Scripts []Script
	Refused []Refusal
}

// Refusal is a file with the name of a script that cannot be one.
type Refusal struct {
	Name string // as on disk: any bytes but / and NUL, so quote it
	Err  error  // the reason, which does not name the file
}

// ScanOptions control Scan and Inspect.
type ScanOptions struct {
	// AllowInsecure (--scripts.allow-insecure): a file that fails trust.Check is
	// not refused. The error goes into Script.Insecure.
	AllowInsecure bool
}

// Scan returns the scripts in dir: every regular file, or symlink to one, whose
// name ends in ".stp". It does not descend into subdirectories.
//
// Names that begin with a dot are ignored, because editors and package managers
// use them for temporary files; ".stp" alone is such a name. Any other name may
// hold what the file system allows (spaces, unicode, %, a leading -, 255
// bytes). Refused are invalid UTF-8 and control characters, which neither a URL
// nor a log line can show, and directories, FIFOs, devices, sockets and
// symlinks without a target.
//
// An empty file, and one that this user cannot read, is a script: stap reports
// what is wrong with it. So is one whose header is invalid, or that another
// user can change: see Script.Refused.
//
// An error means that dir cannot be read. It wraps the cause and names a
// remedy.
func Scan(dir string, inst instance.Instance, opts ScanOptions) (Catalogue, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Catalogue{}, fmt.Errorf("read script directory: %w", err)
	}
	entries, err := os.ReadDir(abs) // sorted
	if err != nil {
		return Catalogue{}, fmt.Errorf("read script directory: %w: %s", err, remedy(err))
	}
	var c Catalogue
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") || !strings.HasSuffix(name, Ext) {
			continue
		}
		s, err := inspect(filepath.Join(abs, name), inst, opts)
		switch {
		case errors.Is(err, errGone):
		case err != nil:
			c.Refused = append(c.Refused, Refusal{Name: name, Err: err})
		default:
			c.Scripts = append(c.Scripts, s)
		}
	}
	return c, nil
}

// remedy returns what to do about a script directory that cannot be read.
func remedy(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "create it, or name another with --scripts"
	case errors.Is(err, fs.ErrPermission):
		return "let this user read it, or name another with --scripts"
	}
	return "name another with --scripts"
}
