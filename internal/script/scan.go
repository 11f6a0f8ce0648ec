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

// Scan looks for scripts in dir, not in the folders below it: every regular file, or symlink to one, whose name ends in ".stp".
//
// Names that begin with a dot are passed over without a word: editors and package managers put their temporary files there, and ".stp" alone is one of them. Every other name may hold whatever a file system takes (spaces, unicode, %, a leading -, 255 bytes), but invalid UTF-8 and control characters, which neither a URL nor a log line can show, are refused, and so are folders, FIFOs, devices, sockets and symlinks that lead nowhere.
// A file without content, or one that this user cannot read, is a script all the same: stap says what is wrong with it.
//
// Script.Executable says that the mode bits let this process's effective user execute the file. (Root may execute what anybody may.)
//
// When dir itself cannot be read, the error says what to do and wraps the cause.
func Scan(dir string, inst Instance) (Catalogue, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Catalogue{}, fmt.Errorf("read scripts folder %q: %w", dir, err)
	}
	entries, err := os.ReadDir(abs) // sorted
	if err != nil {
		return Catalogue{}, fmt.Errorf("read scripts folder %q: %w: %s", dir, cause(err), advice(err))
	}
	us := self()
	var c Catalogue
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") || !strings.HasSuffix(name, Ext) {
			continue
		}
		path := filepath.Join(abs, name)
		info, err := check(name, path)
		switch {
		case errors.Is(err, errGone):
		case err != nil:
			c.Refused = append(c.Refused, Refusal{Name: name, Err: err})
		default:
			c.Scripts = append(c.Scripts, Script{
				Name:       name,
				Path:       path,
				Module:     inst.Module(name),
				Executable: us.mayExecute(info),
				Autostart:  strings.Contains(name, "autostart"),
			})
		}
	}
	return c, nil
}

// errGone is check's answer for a file that was deleted after the folder was read.
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
		return nil, fmt.Errorf("symlink leads nowhere: %w", cause(err))
	}
	if err != nil {
		return nil, fmt.Errorf("look at the file: %w", cause(err))
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

// cause takes operation and path off err, where the text around it already has them.
func cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// identity is who may execute what.
type identity struct {
	uid    int
	groups []int
}

// self is the identity with which this process executes files.
func self() identity {
	groups, _ := os.Getgroups() // without them the effective group is left, and stap runs what may not be executed
	return identity{uid: os.Geteuid(), groups: append(groups, os.Getegid())}
}

// mayExecute goes by the mode bits: access(2) would ask for the real user, who under set-user-id is another.
func (id identity) mayExecute(info fs.FileInfo) bool {
	owner, group := ownerOf(info)
	perm := info.Mode().Perm()
	switch {
	case id.uid == 0:
		return perm&0o111 != 0
	case id.uid == owner:
		return perm&0o100 != 0
	case slices.Contains(id.groups, group):
		return perm&0o010 != 0
	}
	return perm&0o001 != 0
}

func ownerOf(info fs.FileInfo) (uid, gid int) {
	st := info.Sys().(*syscall.Stat_t) // what os.Stat gives on Linux
	return int(st.Uid), int(st.Gid)
}
