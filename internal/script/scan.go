package script

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unicode"
	"unicode/utf8"

	"stap-exporter/internal/instance"
	"stap-exporter/internal/trust"
)

// Ext is what the name of every script ends in.
const Ext = ".stp"

// Catalogue is what Scan found, each list sorted by name (byte by byte).
type Catalogue struct {
	Scripts []Script
	Refused []Refusal
}

// Refusal is a file that is called like a script and cannot be one.
type Refusal struct {
	Name string // the file's name as it is on disk: any bytes but / and NUL, so quote it
	Err  error  // why, without the name
}

// Scan looks for scripts in dir, not in the folders below it: every regular
// file, or symlink to one, whose name ends in ".stp".
//
// Names that begin with a dot are passed over without a word: editors and
// package managers put their temporary files there, and ".stp" alone is one of
// them. Every other name may hold whatever a file system takes (spaces,
// unicode, %, a leading -, 255 bytes), but invalid UTF-8 and control
// characters, which neither a URL nor a log line can show, are refused, and so
// are folders, FIFOs, devices, sockets and symlinks that lead nowhere.
// A file without content, or one that this user cannot read, is a script all
// the same: stap says what is wrong with it.
//
// A script whose header is wrong, or that somebody else could change, is in
// Catalogue.Scripts, too: see Script.Refused.
//
// When dir itself cannot be read, the error says what to do and wraps the
// cause.
func Scan(dir string, inst instance.Instance, opts ScanOptions) (Catalogue, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Catalogue{}, fmt.Errorf("read scripts folder %q: %w", dir, err)
	}
	entries, err := os.ReadDir(abs) // sorted
	if err != nil {
		return Catalogue{}, fmt.Errorf("read scripts folder %q: %w: %s", dir, trust.Cause(err), advice(err))
	}
	var c Catalogue
	for _, entry := range entries {
		runtime.Gosched() // as in supervisor: hundreds take some 10 ms
		name := entry.Name()
		if strings.HasPrefix(name, ".") || !strings.HasSuffix(name, Ext) {
			continue
		}
		path := filepath.Join(abs, name)
		s, err := inspect(path, inst, opts)
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

// ScanOptions are what Scan and Inspect need to know beside the place.
type ScanOptions struct {
	// --scripts.allow-insecure: what CheckTrust says is kept in
	// Script.Insecure, and refuses nothing
	AllowInsecure bool
}

// Inspect returns what Scan would say of the one file at path. Its error, for a
// file that is no script at all, is without the name.
//
// Script.Executable begins with the mode bits, which let this process's
// effective user execute the file or not (root may execute what anybody may),
// and ends with the first line: see withHeader.
func Inspect(path string, inst instance.Instance, opts ScanOptions) (Script, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return Script{}, fmt.Errorf("look at the file: %w", err)
	}
	if !strings.HasSuffix(path, Ext) {
		return Script{}, fmt.Errorf("name does not end in %s", Ext)
	}
	return inspect(path, inst, opts)
}

func inspect(path string, inst instance.Instance, opts ScanOptions) (Script, error) {
	name := filepath.Base(path)
	info, err := check(name, path)
	if err != nil {
		return Script{}, err
	}
	who := trust.Self()
	s := Script{
		Name:       name,
		Path:       path,
		Module:     inst.Module(name),
		Executable: who.MayExecute(info),
		Autostart:  strings.Contains(name, "autostart"),
	}
	if err := trust.Check(path, who); err != nil {
		if opts.AllowInsecure {
			s.Insecure = err
		} else {
			s.Refused = fmt.Errorf("%w, or start with --scripts.allow-insecure", err)
		}
	}
	// Who cannot read the file has no header; stap will say what is wrong.
	if head, err := readHead(path); err == nil {
		s, err = withHeader(s, head)
		if err != nil {
			s.Refused = errors.Join(s.Refused, err)
		}
	}
	if s.Refused != nil {
		s.Autostart = false
	}
	return s, nil
}

// errGone is check's answer for a file that was deleted after the folder was
// read.
var errGone = errors.New("file is gone")

// check returns what is known of the script file at path, or why it is none.
func check(name, path string) (fs.FileInfo, error) {
	if !utf8.ValidString(name) {
		return nil, errors.New("name is not valid UTF-8")
	}
	if i := strings.IndexFunc(name, unicode.IsControl); i >= 0 {
		return nil, fmt.Errorf("name has the control character %+q", []rune(name[i:])[0])
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, errGone
		}
		return nil, fmt.Errorf("symlink leads nowhere: %w", trust.Cause(err))
	}
	if err != nil {
		return nil, fmt.Errorf("look at the file: %w", trust.Cause(err))
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s, not a regular file", kind(info.Mode()))
	}
	return info, nil
}

// kind says what a file is that is not a regular one.
func kind(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a folder"
	case mode&fs.ModeNamedPipe != 0:
		return "a FIFO"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	}
	return "a device"
}

// advice says what to do about a scripts folder that cannot be read.
func advice(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "create it, or name another with --scripts"
	case errors.Is(err, fs.ErrPermission):
		return "let this user read it, or name another with --scripts"
	}
	return "name another with --scripts"
}
