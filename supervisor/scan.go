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

// scriptFile is a script with what identifies the version of its file.
type scriptFile struct {
	script.Script
	// version differs if the script differs: by the file's content, or by what
	// the scan read from header and mode.
	version string
	// stamp differs if the file was written since, or if its trust changed.
	stamp string
}

// readFiles adds to each script the version of its file. It reads the files, so
// it must not be called in an actor's Receive.
func readFiles(scripts []script.Script) []scriptFile {
	list := make([]scriptFile, len(scripts))
	for i, s := range scripts {
		sum, stamp, err := contentOf(s.Path)
		if err != nil {
			sum = "unreadable: " + err.Error()
		}
		// The header counts beside the content: the file may have changed since
		// the scan read it, and then the next scan must find a difference.
		scanned := s
		scanned.Refused, scanned.Insecure = nil, nil
		header, err := json.Marshal(scanned)
		if err != nil {
			panic(err) // a script.Script is plain values
		}
		list[i] = scriptFile{
			Script:  s,
			version: sum + " " + string(header),
			stamp:   fmt.Sprint(stamp, s.Refused, s.Insecure),
		}
	}
	return list
}

// contentOf returns the SHA-256 of a file, and what identifies it by stat. It
// does not block on a FIFO or device that has taken the file's place since the
// scan.
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
	// No larger a buffer than the file needs: a thousand small files would
	// otherwise leave 32 MB of garbage.
	buffer := make([]byte, min(max(st.Size, 512), 32<<10))
	if _, err := io.CopyBuffer(h, struct{ io.Reader }{f}, buffer); err != nil {
		return "", "", err
	}
	return hex.EncodeToString(h.Sum(nil)), fmt.Sprint(st.Dev, st.Ino, st.Size, st.Mtim.Nano()), nil
}
