package procfile

import (
	"bytes"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// scratchSize is enough for the longest text of SystemTap's tapset and for a
// full pipe.
const scratchSize = 64 << 10

// scratch is the working memory of one Read, which holds it from start to end
// and copies the body out of it. Scratches are pooled.
type scratch struct {
	buf []byte // the text that the current attempt has read

	ready   func(fd uintptr) bool // isReady as a value, allocated once
	poll    [1]unix.PollFd
	pollErr error
}

var scratches = sync.Pool{New: func() any { return &scratch{buf: make([]byte, 0, scratchSize)} }}

func getScratch() *scratch { return scratches.Get().(*scratch) }

// release returns the scratch to the pool, unless a long text has enlarged it.
func (s *scratch) release() {
	if cap(s.buf) > scratchSize {
		return
	}
	s.reset()
	scratches.Put(s)
}

// reset discards the text.
func (s *scratch) reset() { s.buf = s.buf[:0] }

// free returns the memory for the next bytes, which is never empty.
func (s *scratch) free() []byte {
	if len(s.buf) == cap(s.buf) {
		s.buf = slices.Grow(s.buf, cap(s.buf))
	}
	return s.buf[len(s.buf):cap(s.buf)]
}

// add appends the n bytes that were read into free.
func (s *scratch) add(n int) { s.buf = s.buf[:len(s.buf)+n] }

// body returns a copy of the text.
func (s *scratch) body() []byte { return bytes.Clone(s.buf) }
