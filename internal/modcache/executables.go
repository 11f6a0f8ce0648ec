package modcache

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"stap-exporter/internal/fileid"
	"stap-exporter/internal/toolchain"
)

// executable is a user program or library that a module depends on, in its
// state at the compile.
type executable struct {
	// Name is as in the module or the script: a path, or a name to look up in
	// PATH.
	Name string `json:"name"`
	// Path is what Name resolved to, without symlinks. It is empty if there was
	// no such file, so that an optional probe of it is not in the module.
	Path    string       `json:"path"`
	BuildID string       `json:"build_id"`       // hex; empty if it has none
	Stamp   fileid.Stamp `json:"stamp,omitzero"` // inode, size, times
}

// identify returns the executable that name resolves to now.
func identify(name string) (executable, error) {
	path := name
	if !strings.Contains(name, "/") {
		var err error
		if path, err = toolchain.LookPath(name); err != nil {
			return executable{}, err
		}
	}
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return executable{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return executable{}, err
	}
	if !info.Mode().IsRegular() {
		return executable{}, errNoELF
	}
	id, err := buildID(path)
	if err != nil {
		return executable{}, err
	}
	return executable{
		Name:    name,
		Path:    path,
		BuildID: id,
		Stamp:   fileid.StampOf(info),
	}, nil
}

// changed returns an error that says how the executable differs from its state
// at the compile; nil when it does not.
func (e executable) changed() error {
	now, err := identify(e.Name)
	switch {
	case e.Path == "" && err == nil:
		return fmt.Errorf("probed executable %s exists now", e.Name)
	case e.Path == "":
		return nil
	case err != nil:
		return fmt.Errorf("probed executable %s: %w", e.Name, err)
	case now.Path != e.Path:
		return fmt.Errorf("probed executable %s is now %s, was %s", e.Name, now.Path, e.Path)
	case now != e:
		return fmt.Errorf("probed executable %s has changed", e.Path)
	}
	return nil
}

// clockTick is how much the clock of file times may lag behind time.Now.
const clockTick = 10 * time.Millisecond

var (
	// A compiled module contains each probe point with resolved paths:
	// process("/usr/bin/ls").begin.
	probedIn = regexp.MustCompile(`(?:process|library)\(\\?"([^"\\\x00]+)\\?"\)`)

	// process(4711): neither the module nor the script names the executable.
	probedPID = regexp.MustCompile(`process\(\d+\)`)

	// process("/opt/*/x"): an executable that is installed later may match.
	probedGlob = regexp.MustCompile(`(?:process|library)\s*\(\s*"[^"]*[*?\[{]`)

	// process("name"): looked up in PATH.
	namedIn = regexp.MustCompile(`(?:process|library)\s*\(\s*"([^"\\/\n]+)"`)

	literal = regexp.MustCompile(`"([^"\\\n]+)"`)
)

// executablesOf finds the executables that a module depends on, in the compiled
// module and in the script's text.
//
// The module contains the path of each executable that it probes: it needs them
// to attach its probes, and stap has resolved names, PATH, libraries, aliases
// and macros. Observed with SystemTap 4.8: the paths are in the probe points,
// and in the struct stapiu_consumer and struct _stp_module of runtime/linux. So
// every string in the module that is the path of an ELF file counts. The string
// literals of the script count, too: they contain symlinks and names that may
// resolve differently later, and executables of which only types were read
// (@cast, @var).
//
// The list may contain too many, never too few. An error means that an
// executable cannot be identified, or has changed after since, when the compile
// began: the module must not be cached then.
func executablesOf(module, script []byte, since time.Time) ([]executable, error) {
	if probedPID.Match(module) {
		return nil, errors.New("script probes a process by its process id")
	}
	if probedGlob.Match(script) {
		return nil, errors.New("script probes executables by a pattern")
	}
	required := map[string]bool{} // by name; false: it may be no executable
	for _, path := range pathsIn(module) {
		required[path] = false
	}
	// Names that may not exist yet: the module has no optional probe of them.
	optional := map[string]bool{}
	for _, m := range literal.FindAllSubmatch(script, -1) {
		required[string(m[1])] = false
		optional[string(m[1])] = m[1][0] == '/'
	}
	for _, m := range namedIn.FindAllSubmatch(script, -1) {
		optional[string(m[1])] = true
	}
	for _, m := range probedIn.FindAllSubmatch(module, -1) {
		required[string(m[1])] = true
	}
	var found []executable
	for name, must := range required {
		e, err := identify(name)
		switch {
		case err != nil && must:
			return nil, fmt.Errorf("probed executable %s: %w", name, err)
		case optional[name] && errors.Is(err, fs.ErrNotExist):
			found = append(found, executable{Name: name})
			continue
		case err != nil:
			continue
		case time.Unix(0, e.Stamp.CTime).After(since.Add(-clockTick)):
			return nil, fmt.Errorf("probed executable %s changed during the compile", name)
		}
		found = append(found, e)
	}
	slices.SortFunc(found, func(a, b executable) int { return strings.Compare(a.Name, b.Name) })
	return found, nil
}

// pathsIn returns the absolute paths among the C strings of a file.
func pathsIn(file []byte) (paths []string) {
	const maxPath = 4096
	for {
		// A string follows the end of another, or padding.
		i := bytes.Index(file, []byte("\x00/"))
		if i < 0 {
			return paths
		}
		file = file[i+1:]
		end := bytes.IndexByte(file[:min(len(file), maxPath)], 0)
		if end > 1 {
			paths = append(paths, string(file[:end]))
		}
	}
}
