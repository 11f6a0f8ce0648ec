package modcache

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// manifest is the JSON file beside a cached module. A module without one does
// not count.
type manifest struct {
	Key         string       `json:"key"`
	Module      string       `json:"module"`
	Size        int64        `json:"size"` // of the module's file, in bytes
	SHA256      string       `json:"sha256"`
	Script      string       `json:"script"`      // for people
	Compiled    time.Time    `json:"compiled"`    // for people
	Executables []executable `json:"executables"` // user programs whose addresses it holds
}

const maxManifest = 4 << 20 // bytes; one of a thousand programs has 300 kB

// readManifest reads the manifest of key and checks that it is one.
func readManifest(path, key, module string) (m manifest, err error) {
	f, err := openOwn(path)
	if err != nil {
		return m, err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxManifest))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("read manifest: %w", err)
	}
	if m.Key != key || m.Module != module {
		return m, errors.New("manifest is of another module")
	}
	return m, nil
}

// openOwn opens a regular file of this user that nobody else can write to. What
// can be a FIFO does not hold it up.
func openOwn(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = onlyOurs(path, info)
	}
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// onlyOurs tells why somebody else may have written what info is about.
func onlyOurs(path string, info fs.FileInfo) error {
	st := info.Sys().(*syscall.Stat_t) // what os gives on Linux
	if uid := int(st.Uid); uid != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d", path, uid)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s can be written by others (mode %#o)", path, info.Mode().Perm())
	}
	return nil
}
