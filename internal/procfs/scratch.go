package procfs

import (
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	scratchSize = 64 << 10  // of the first part: fits the longest text of SystemTap's tapset, and a full pipe
	partSize    = 256 << 10 // of the others
	partsKept   = 4         // more parts are not kept for the next Read
)

// scratch is what one Read works with. A Read holds one from start to end and copies the body out of it.
//
// A text is read in parts. One buffer that grows would be copied and cleared in pieces of megabytes, during which nothing else of the process gets that processor, and a beginning collection none at all (seen: 60 ms).
type scratch struct {
	parts [][]byte
	kept  [partsKept][]byte // what parts is at first
	full  int               // parts that are full
	last  int               // bytes in the part behind them

	look    func(fd uintptr) bool // see await
	poll    [1]unix.PollFd
	pollErr error
}

var scratches = sync.Pool{New: func() any {
	s := &scratch{}
	s.kept[0] = make([]byte, scratchSize)
	s.parts = s.kept[:1]
	return s
}}

func getScratch() *scratch { return scratches.Get().(*scratch) }

func (s *scratch) release() {
	clear(s.parts[min(len(s.parts), partsKept):])
	s.parts = s.parts[:min(len(s.parts), partsKept)]
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

// room is where the next bytes go; it is never empty.
func (s *scratch) room() []byte {
	if s.full == len(s.parts) {
		s.parts = append(s.parts, make([]byte, partSize))
	}
	return s.parts[s.full][s.last:]
}

// took counts what was read into room.
func (s *scratch) took(n int) {
	if s.last += n; s.last == len(s.parts[s.full]) {
		s.full, s.last = s.full+1, 0
	}
}

// body is a copy of what was read.
func (s *scratch) body() []byte {
	body := make([]byte, s.size())
	at := 0
	for i := range s.full {
		at += copy(body[at:], s.parts[i])
		runtime.Gosched()
	}
	if s.last > 0 {
		copy(body[at:], s.parts[s.full][:s.last])
	}
	return body
}
