package toolchain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"stap-exporter/internal/fileid"
	"stap-exporter/internal/stapout"
)

// VersionInfo is what stap reports about itself.
type VersionInfo struct {
	Version string
	Tapsets []string // the tapset directories that need no -I
	Runtime string   // the runtime directory that needs no -R
	RC      string   // the file with default options
}

// VersionReader reads stap's VersionInfo, and reads it again only after stap's
// file or the environment that stap depends on has changed. The zero value is
// ready. Its methods may be called from any goroutine.
type VersionReader struct {
	mu   sync.Mutex
	key  string // of info; empty before the first
	info VersionInfo
}

// Read returns the VersionInfo of the executable stap. The caller must not
// change it.
func (r *VersionReader) Read(stap string) (VersionInfo, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := strings.Join(append(Variables(), fileid.SizeAndTime(stap), os.Getenv("HOME")), "\x00")
	if r.key == key {
		return r.info, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	defer cancel()
	version, err := Output(ctx, stap, "--version")
	if err != nil {
		return VersionInfo{}, fmt.Errorf("read stap's version: %w", err)
	}
	help, err := Output(ctx, stap, "--help")
	if err != nil {
		return VersionInfo{}, fmt.Errorf("read stap's directories: %w", err)
	}
	info := parseHelp(help)
	if len(info.Tapsets) == 0 || info.Runtime == "" {
		return VersionInfo{}, errors.New("parse stap --help: it names no tapset directory or no runtime directory")
	}
	info.Version = firstLine(version)
	r.key, r.info = key, info
	return info, nil
}

// parseHelp finds stap's directories in the output of "stap --help". Each has a
// line of its own below the option that adds to it or replaces it. The file
// with default options follows "Options (in ". Observed with SystemTap 4.8:
// session.cxx, usage.
func parseHelp(help string) (info VersionInfo) {
	var option string
	for line := range strings.Lines(help) {
		word := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "Options (in "):
			info.RC, _, _ = strings.Cut(strings.TrimPrefix(line, "Options (in "), " ")
			option = ""
		case strings.HasPrefix(word, "-"):
			option = word[:min(2, len(word))]
		case option == "-I" && strings.HasPrefix(word, "/"):
			info.Tapsets = append(info.Tapsets, word)
		case option == "-R" && strings.HasPrefix(word, "/") && info.Runtime == "":
			info.Runtime = word
		}
	}
	return info
}

// Version returns the first line of "stap --version", or "" when stap does not
// answer.
func (t Tools) Version() string {
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	defer cancel()
	version, _ := Output(ctx, t.Stap, "--version")
	return firstLine(version)
}

func firstLine(text string) string {
	first, _, _ := strings.Cut(text, "\n")
	return stapout.Clean(first)
}
