package procfile

import (
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// of the first part: fits the longest text of SystemTap's tapset, and a
	// full pipe
	scratchSize = 64 << 10
	partSize    = 256 << 10 // of the others
)

// scratch is what one Read works with. A Read holds one from start to end and
// copies the body out of it.
//
// A text is read in parts. One buffer that grows would be copied and cleared in
// pieces of megabytes, during which nothing else of the process gets that
// processor, and a beginning collection none at all (seen: 60 ms).
type scratch struct {
	first *[scratchSize]byte
	more  []*[partSize]byte
	full  int // parts that are full
	last  int // bytes in the part behind them

	look    func(fd uintptr) bool // see await
	poll    [1]unix.PollFd
	pollErr error
}

var (
	scratches = sync.Pool{New: func() any { return &scratch{first: new([scratchSize]byte)} }}
	parts     = sync.Pool{New: func() any { return new([partSize]byte) }}
)

func getScratch() *scratch { return scratches.Get().(*scratch) }

func (s *scratch) release() {
	for i, part := range s.more {
		parts.Put(part)
		s.more[i] = nil
	}
	s.more = s.more[:0]
	s.reset()
	scratches.Put(s)
}

// reset forgets what was read.
func (s *scratch) reset() { s.full, s.last = 0, 0 }

// size is how many bytes were read.
func (s *scratch) size() int {
	if s.full == 0 {
		return s.last
	}
	return scratchSize + (s.full-1)*partSize + s.last
}

// part returns one of the parts.
func (s *scratch) part(i int) []byte {
	if i == 0 {
		return s.first[:]
	}
	return s.more[i-1][:]
}

// room is where the next bytes go; it is never empty.
func (s *scratch) room() []byte {
	if s.full > len(s.more) {
		s.more = append(s.more, parts.Get().(*[partSize]byte))
	}
	return s.part(s.full)[s.last:]
}

// took counts what was read into room.
func (s *scratch) took(n int) {
	if s.last += n; s.last == len(s.part(s.full)) {
		s.full, s.last = s.full+1, 0
		runtime.Gosched()
	}
}

// body is a copy of what was read.
func (s *scratch) body() []byte {
	body := make([]byte, s.size())
	at := 0
	for i := range s.full {
		at += copy(body[at:], s.part(i))
		runtime.Gosched()
	}
	if s.last > 0 {
		copy(body[at:], s.part(s.full)[:s.last])
	}
	return body
}
