package stap

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"stap-exporter/internal/fileid"
)

// keyFormat is part of every key: entries of another format are found by
// nobody.
const keyFormat = "stap-exporter module 1"

// source is what a kernel module is compiled from, as far as the command line
// tells.
type source struct {
	path   string   // the script
	module string   // the module's name
	args   []string // stap's arguments, but for the script
}

// moduleKey names the module that src would be compiled to now: same key, same
// module, but for the user programs that it probes (which only the compiled
// module tells, see programs.go). It holds
//   - script text, module name, all arguments of stap, stap's version,
//   - the .stp and .stpm files of the tapset folders (as stap itself lists
//     them, and those of -I) and all of the runtime's folder (-R, or as stap
//     says),
//   - stap's file of default options (~/.systemtap/rc),
//   - SYSTEMTAP_* and the other variables by which stap finds files,
//   - the compiler: gcc, and those beside it that the kernel's own makefiles
//     may name (gcc-12), by path, size and time,
//   - the kernel's release and version, its build tree's configuration and
//     symbol versions, and its debuginfo, the files by size and time.
//
// An error means that the module must not be cached; it says why.
func (h *Host) moduleKey(src source) (string, error) {
	about, err := h.about.ask(h.tools.stap)
	if err != nil {
		return "", err
	}
	if o := uncacheable(src.args); o != "" {
		return "", fmt.Errorf("option %s takes in what no key holds", o)
	}
	d := fileid.NewDigest()
	d.Add(keyFormat, h.system.release, h.system.version, about.version, src.module)
	d.Add(src.args...)
	text, err := h.contents.File(src.path)
	if err != nil {
		return "", fmt.Errorf("hash script: %w", err)
	}
	d.Add(src.path, text) // the path is in the module's messages
	tapsets := slices.Concat(about.tapsets, optionValues(src.args, "-I"))
	for _, dir := range tapsets {
		d.Add("tapset", dir)
		if err := h.contents.Dir(d, dir, ".stp", ".stpm"); err != nil {
			return "", err
		}
	}
	runtime := about.runtime
	if given := optionValues(src.args, "-R"); len(given) > 0 {
		runtime = given[len(given)-1]
	}
	d.Add("runtime", runtime)
	if err := h.contents.Dir(d, runtime); err != nil {
		return "", err
	}
	rc, _ := h.contents.File(about.rc) // mostly there is none
	d.Add("rc", rc)
	d.Add(keyVariables()...)
	for _, path := range slices.Concat(compilers(), h.system.kernelFiles()) {
		d.Add(path, fileid.SizeAndTime(path))
	}
	return d.Sum(), nil
}

// uncacheable names an option that brings in files from places that moduleKey
// does not look at: another build tree, another root.
func uncacheable(args []string) string {
	for _, a := range args {
		if a == "-r" || a == "-a" || strings.HasPrefix(a, "--sysroot") || strings.HasPrefix(a, "--sysenv") ||
			strings.HasPrefix(a, "--use-server") ||
			strings.HasPrefix(a, "--use-http-server") {
			return a
		}
	}
	return ""
}

// optionValues are the values of a one-letter option. In this package's command
// lines each option and each value is a word of its own. (A value that looks
// like the option gives one folder too many, which does no harm.)
func optionValues(args []string, option string) (values []string) {
	for i, a := range args {
		if a == option && i+1 < len(args) {
			values = append(values, args[i+1])
		}
	}
	return values
}

// keyVariables are the environment variables that stap 4.8 reads for what it
// compiles (getenv in session.cxx and util.cxx; elfutils reads the debuginfod
// ones), sorted.
func keyVariables() (found []string) {
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "SYSTEMTAP_") ||
			slices.Contains([]string{"PATH", "LD_LIBRARY_PATH", "XDG_DATA_DIRS", "DEBUGINFOD_URLS"}, name) {
			found = append(found, kv)
		}
	}
	slices.Sort(found)
	return found
}

// compilers are the paths of gcc and of its versions beside it: a kernel's
// makefile may name the one that it was built with, as Debian's do.
func compilers() []string {
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		return nil
	}
	all, _ := filepath.Glob(gcc + "-[0-9]*")
	return append([]string{gcc}, all...)
}

// kernelFiles are files of the running kernel that what stap compiles depends
// on.
func (s system) kernelFiles() []string {
	build := filepath.Join(s.libModules, s.release, "build")
	return []string{
		filepath.Join(build, ".config"),
		filepath.Join(build, "Module.symvers"),
		filepath.Join(build, "vmlinux"),
		filepath.Join("/usr/lib/debug/lib/modules", s.release, "vmlinux"),
		filepath.Join("/usr/lib/debug/boot", "vmlinux-"+s.release),
	}
}

// about is what stap says of itself.
type about struct {
	version string
	tapsets []string // where it looks for tapsets without any -I
	runtime string   // its runtime without -R
	rc      string   // its file of default options
}

// teller asks stap about itself, and again only when its file, or the
// environment that it looks at, has changed. Its methods may be called from any
// goroutine.
type teller struct {
	mu    sync.Mutex
	asked string
	about about
}

func (t *teller) ask(stap string) (about, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := strings.Join(append(keyVariables(), fileid.SizeAndTime(stap), os.Getenv("HOME")), "\x00")
	if t.asked == now {
		return t.about, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), toolWait)
	defer cancel()
	version, err := tool(ctx, stap, "--version")
	if err != nil {
		return about{}, fmt.Errorf("ask stap for its version: %w", err)
	}
	help, err := tool(ctx, stap, "--help")
	if err != nil {
		return about{}, fmt.Errorf("ask stap for its folders: %w", err)
	}
	a := parseHelp(help)
	if len(a.tapsets) == 0 || a.runtime == "" {
		return about{}, errors.New("stap --help does not tell its tapset and runtime folders")
	}
	first, _, _ := strings.Cut(version, "\n")
	a.version = clean(first)
	t.asked, t.about = now, a
	return a, nil
}

// parseHelp finds stap's folders in the output of stap --help: each stands in a
// line of its own below the option that adds to it or replaces it, and the file
// of default options stands in parentheses after "Options" (session.cxx,
// usage).
func parseHelp(help string) (a about) {
	var at string
	for line := range strings.Lines(help) {
		word := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "Options (in "):
			a.rc, _, _ = strings.Cut(strings.TrimPrefix(line, "Options (in "), " ")
			at = ""
		case strings.HasPrefix(word, "-"):
			at = word[:min(2, len(word))]
		case at == "-I" && strings.HasPrefix(word, "/"):
			a.tapsets = append(a.tapsets, word)
		case at == "-R" && strings.HasPrefix(word, "/") && a.runtime == "":
			a.runtime = word
		}
	}
	return a
}
