package supervisor

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"stap-exporter/internal/script"
)

// found is a script as a scan found it, with what tells it from what an earlier
// scan found.
type found struct {
	script.Script
	// another one means another program: by the file's content, and by what the
	// scan made of its header and mode
	version string
	stamp   string // another one means that the file was written, or its trust changed, since
}

// look adds to each script what is in its file now. It reads the files: not for
// an actor's Receive.
func look(scripts []script.Script) []found {
	list := make([]found, len(scripts))
	for i, s := range scripts {
		sum, stamp, err := contentOf(s.Path)
		if err != nil {
			sum = "unreadable: " + err.Error()
		}
		// The header counts beside the content: the file may have changed since
		// the scan read it, and then the next scan is to see a difference.
		program := s
		program.Refused, program.Insecure = nil, nil
		header, err := json.Marshal(program)
		if err != nil {
			panic(err) // a script.Script is plain values
		}
		list[i] = found{Script: s, version: sum + " " + string(header), stamp: fmt.Sprint(stamp, s.Refused, s.Insecure)}
	}
	return list
}

// contentOf returns the SHA-256 of a file, and what stat says of it. Neither
// FIFO nor device holds it up, whatever came to be there since the scan.
func contentOf(path string) (sum, stamp string, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return "", "", err
	}
	defer func() { _ = f.Close() }()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return "", "", fmt.Errorf("stat %q: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return "", "", fmt.Errorf("read %q: not a regular file", path)
	}
	h := sha256.New()
	// As much buffer as the file needs: a folder of a thousand small ones would
	// leave 32 MB of garbage.
	buffer := make([]byte, min(max(st.Size, 512), 32<<10))
	if _, err := io.CopyBuffer(h, struct{ io.Reader }{f}, buffer); err != nil {
		return "", "", err
	}
	return hex.EncodeToString(h.Sum(nil)), fmt.Sprint(st.Dev, st.Ino, st.Size, st.Mtim.Nano()), nil
}
