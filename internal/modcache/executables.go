package modcache

import (
	"bytes"
	"debug/elf"
	"encoding/hex"
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

// program is a user program or library that a module has addresses of, as it
// was when the module was compiled.
type executable struct {
	// as the module or the script names it: a path, or a name that PATH
	// resolves
	Name string `json:"name"`
	// what that led to, without symlinks; empty: to nothing, and an optional
	// probe was left out for that
	Path    string       `json:"path"`
	BuildID string       `json:"build_id"`       // hex; empty when it has none
	Stamp   fileid.Stamp `json:"stamp,omitzero"` // inode, size, times
}

// identify looks at what name leads to now.
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

// tick is how much the clock that stamps files may be behind.
const tick = 10 * time.Millisecond

var errNoELF = errors.New("not an ELF file")

// buildID reads the build-id note of an ELF file, in hex; "" when it has none.
func buildID(path string) (string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return "", errors.Join(errNoELF, err)
	}
	defer func() { _ = f.Close() }()
	s := f.Section(".note.gnu.build-id")
	if s == nil || s.Size > 4096 {
		return "", nil
	}
	note, err := s.Data()
	if err != nil || len(note) < 16 {
		return "", errors.Join(errNoELF, err)
	}
	// Sizes of name ("GNU\0") and description, type, name, description: elf(5).
	size := int(f.ByteOrder.Uint32(note[4:]))
	if size < 0 || 16+size > len(note) {
		return "", errNoELF
	}
	return hex.EncodeToString(note[16 : 16+size]), nil
}

// changed says how the program differs from what it was; nil when it does not.
func (p executable) changed() error {
	now, err := identify(p.Name)
	switch {
	case p.Path == "" && err == nil:
		return fmt.Errorf("probed program %s is there now", p.Name)
	case p.Path == "":
		return nil
	case err != nil:
		return fmt.Errorf("probed program %s: %w", p.Name, err)
	case now.Path != p.Path:
		return fmt.Errorf("probed program %s is now %s, was %s", p.Name, now.Path, p.Path)
	case now != p:
		return fmt.Errorf("probed program %s is another than it was", p.Path)
	}
	return nil
}

var (
	// A compiled module holds each probe point, with paths resolved:
	// process("/usr/bin/ls").begin.
	probedIn = regexp.MustCompile(`(?:process|library)\(\\?"([^"\\\x00]+)\\?"\)`)

	// process(4711): which program that is, nothing in the module or the script
	// tells.
	probedPID = regexp.MustCompile(`process\(\d+\)`)

	// process("/opt/*/x"): a program that is installed later would belong to
	// it.
	probedGlob = regexp.MustCompile(`(?:process|library)\s*\(\s*"[^"]*[*?\[{]`)

	// process("name"), which PATH resolves.
	namedIn = regexp.MustCompile(`(?:process|library)\s*\(\s*"([^"\\/\n]+)"`)

	literal = regexp.MustCompile(`"([^"\\\n]+)"`)
)

// programsOf finds the user programs and libraries that a compiled module
// depends on.
//
// The module itself is the best witness: to attach its probes it must hold the
// path of each program, and stap has already resolved names, PATH, libraries,
// aliases and macros (seen: in the probe points, and in the struct
// stapiu_consumer and struct _stp_module of runtime/linux). So every string in
// it that is the path of an ELF file counts. The script's own string literals
// are added: they know of symlinks and of PATH, which may lead elsewhere later,
// and of programs of which only types were read (@cast, @var).
//
// It errs on the side of too many. An error means that one cannot be told, or
// changed after since, when the compile began: then the module must not be
// cached.
func executablesOf(module, script []byte, since time.Time) ([]executable, error) {
	if probedPID.Match(module) {
		return nil, errors.New("it probes a process by its id")
	}
	if probedGlob.Match(script) {
		return nil, errors.New("it probes programs by a pattern")
	}
	names := map[string]bool{} // true: it must be found
	for _, s := range pathsIn(module) {
		names[s] = false
	}
	// may be there later: an optional probe of it is then not in the module
	absent := map[string]bool{}
	for _, m := range literal.FindAllSubmatch(script, -1) {
		names[string(m[1])] = false
		absent[string(m[1])] = m[1][0] == '/'
	}
	for _, m := range namedIn.FindAllSubmatch(script, -1) {
		absent[string(m[1])] = true
	}
	for _, m := range probedIn.FindAllSubmatch(module, -1) {
		names[string(m[1])] = true
	}
	var found []executable
	for name, must := range names {
		p, err := identify(name)
		switch {
		case err != nil && must:
			return nil, fmt.Errorf("probed program %s: %w", name, err)
		case absent[name] && errors.Is(err, fs.ErrNotExist):
			found = append(found, executable{Name: name})
			continue
		case err != nil:
			continue
		case time.Unix(0, p.Stamp.CTime).After(since.Add(-tick)):
			return nil, fmt.Errorf("probed program %s has only just changed", name)
		}
		found = append(found, p)
	}
	slices.SortFunc(found, func(a, b executable) int { return strings.Compare(a.Name, b.Name) })
	return found, nil
}

// pathsIn returns the absolute paths among the C strings of a file.
func pathsIn(file []byte) (paths []string) {
	const maxPath = 4096
	for {
		// A string begins after the end of another, or after padding.
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
