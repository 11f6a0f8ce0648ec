package toolchain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"stap-exporter/internal/fileid"
	"stap-exporter/internal/stapout"
)

// VersionInfo is what stap says of itself.
type VersionInfo struct {
	Version string
	Tapsets []string // where it looks for tapsets without any -I
	Runtime string   // its runtime without -R
	RC      string   // its file of default options
}

// VersionReader asks stap about itself, and again only when its file, or the
// environment that it looks at, has changed. Its methods may be called from any
// goroutine.
type VersionReader struct {
	mu    sync.Mutex
	asked string
	about VersionInfo
}

func (t *VersionReader) Read(stap string) (VersionInfo, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := strings.Join(append(Variables(), fileid.SizeAndTime(stap), os.Getenv("HOME")), "\x00")
	if t.asked == now {
		return t.about, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	defer cancel()
	version, err := Output(ctx, stap, "--version")
	if err != nil {
		return VersionInfo{}, fmt.Errorf("ask stap for its version: %w", err)
	}
	help, err := Output(ctx, stap, "--help")
	if err != nil {
		return VersionInfo{}, fmt.Errorf("ask stap for its folders: %w", err)
	}
	a := parseHelp(help)
	if len(a.Tapsets) == 0 || a.Runtime == "" {
		return VersionInfo{}, errors.New("stap --help does not tell its tapset and runtime folders")
	}
	first, _, _ := strings.Cut(version, "\n")
	a.Version = stapout.Clean(first)
	t.asked, t.about = now, a
	return a, nil
}

// parseHelp finds stap's folders in the output of stap --help: each stands in a
// line of its own below the option that adds to it or replaces it, and the file
// of default options stands in parentheses after "Options" (session.cxx,
// usage).
func parseHelp(help string) (a VersionInfo) {
	var at string
	for line := range strings.Lines(help) {
		word := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "Options (in "):
			a.RC, _, _ = strings.Cut(strings.TrimPrefix(line, "Options (in "), " ")
			at = ""
		case strings.HasPrefix(word, "-"):
			at = word[:min(2, len(word))]
		case at == "-I" && strings.HasPrefix(word, "/"):
			a.Tapsets = append(a.Tapsets, word)
		case at == "-R" && strings.HasPrefix(word, "/") && a.Runtime == "":
			a.Runtime = word
		}
	}
	return a
}

// Version is the first line of stap --version; without an answer it is
// empty.
func (t Tools) Version() string {
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	defer cancel()
	out, _ := Output(ctx, t.Stap, "--version")
	first, _, _ := strings.Cut(out, "\n")
	return stapout.Clean(first)
}

// Variables are the environment variables that stap 4.8 reads for what it
// compiles (getenv in session.cxx and util.cxx; elfutils reads the debuginfod
// ones), sorted.
func Variables() (found []string) {
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
