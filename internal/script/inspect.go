package script

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"stap-exporter/internal/instance"
	"stap-exporter/internal/trust"
)

// errGone means that the file was deleted after the directory was read.
var errGone = errors.New("file is gone")

// Inspect returns what Scan would return for the one file at path. The error,
// for a file that is no script at all, does not name the file.
//
// Script.Executable begins as the mode bits have it for this process's
// effective user (root may execute what any user may), and then depends on the
// first line: see applyHeader.
func Inspect(path string, inst instance.Instance, opts ScanOptions) (Script, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return Script{}, err
	}
	if !strings.HasSuffix(path, Ext) {
		return Script{}, fmt.Errorf("name does not end in %s", Ext)
	}
	return inspect(path, inst, opts)
}

func inspect(path string, inst instance.Instance, opts ScanOptions) (Script, error) {
	name := filepath.Base(path)
	info, err := checkFile(name, path)
	if err != nil {
		return Script{}, err
	}
	id := trust.Self()
	s := Script{
		Name:       name,
		Path:       path,
		Module:     inst.Module(name),
		Executable: mayExecute(id, info),
		Autostart:  strings.Contains(name, "autostart"),
	}
	// A file that cannot be read has no header. It stays a script, and stap
	// reports the error.
	var invalid error
	if head, err := readHead(path); err == nil {
		s, invalid = applyHeader(s, head)
	}
	err = s.CheckTrust(id)
	if err != nil && opts.AllowInsecure {
		s.Insecure, err = err, nil
	}
	s.Refused = errors.Join(withRemedy(err), invalid)
	if s.Refused != nil {
		s.Autostart = false
	}
	return s, nil
}

// withRemedy adds the flag that allows an untrusted script.
func withRemedy(err error) error {
	switch {
	case errors.Is(err, trust.ErrOpenDirectory):
		return fmt.Errorf("%w; Kubernetes makes the directory of a ConfigMap like this: "+
			"in a pod whose scripts only the API server can write, start with --scripts.allow-insecure", err)
	case err != nil:
		return fmt.Errorf("%w, or start with --scripts.allow-insecure", err)
	}
	return nil
}

// checkFile returns the mode and owner of the script file at path, or why it
// cannot be a script.
func checkFile(name, path string) (fs.FileInfo, error) {
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
		return nil, fmt.Errorf("target of the symlink does not exist: %w", err)
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s, not a regular file", kind(info.Mode()))
	}
	return info, nil
}

// kind returns what a file is that is not a regular one.
func kind(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeNamedPipe != 0:
		return "a FIFO"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	}
	return "a device"
}

// mayExecute reports whether id may execute the file. It uses the mode bits,
// because access(2) checks the real user id instead of the effective one.
func mayExecute(id trust.Identity, info fs.FileInfo) bool {
	st := info.Sys().(*syscall.Stat_t) // always so for os.Stat on Linux
	perm := info.Mode().Perm()
	switch {
	case id.UID == 0:
		return perm&0o111 != 0
	case id.UID == int(st.Uid):
		return perm&0o100 != 0
	case slices.Contains(id.Groups, int(st.Gid)):
		return perm&0o010 != 0
	}
	return perm&0o001 != 0
}
