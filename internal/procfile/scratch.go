package procfile

import (
	"bytes"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// scratchSize fits the longest text of SystemTap's tapset, and a full pipe.
const scratchSize = 64 << 10

// scratch is what one Read works with. A Read holds one from start to end and
// copies the body out of it.
type scratch struct {
	buf []byte // what the attempt under way has read

	ready   func(fd uintptr) bool // isReady, made once, see await
	poll    [1]unix.PollFd
	pollErr error
}

var scratches = sync.Pool{New: func() any { return &scratch{buf: make([]byte, 0, scratchSize)} }}

func getScratch() *scratch { return scratches.Get().(*scratch) }

// release gives the scratch back, unless a long text has made it large.
func (s *scratch) release() {
	if cap(s.buf) > scratchSize {
		return
	}
	s.reset()
	scratches.Put(s)
}

// reset forgets what was read.
func (s *scratch) reset() { s.buf = s.buf[:0] }

// room is where the next bytes go; it is never empty.
func (s *scratch) room() []byte {
	if len(s.buf) == cap(s.buf) {
		s.buf = slices.Grow(s.buf, cap(s.buf))
	}
	return s.buf[len(s.buf):cap(s.buf)]
}

// took counts what was read into room.
func (s *scratch) took(n int) { s.buf = s.buf[:len(s.buf)+n] }

// body is a copy of what was read.
func (s *scratch) body() []byte { return bytes.Clone(s.buf) }
