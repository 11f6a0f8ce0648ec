package proc

import (
	"sync"
	"time"
)

// After a scan there is a pause of restTimes its duration, at most longestRest,
// and up to mostRests such pauses when scan follows scan. So a start or a stop
// does not wait for long, and the scans of many of them take at most a
// seventeenth of one CPU, or a bit more with thousands of processes. Within a
// scan there is a pause after each scanSlice processes, which take nearly 1 ms,
// of the same duration: it leaves the CPU to others.
const (
	restTimes   = 4
	longestRest = 25 * time.Millisecond
	mostRests   = 4
	scanSlice   = 64
)

// shared runs do for callers that need a result from after their call, as
// rarely as possible: one run at a time, with pauses, and one for all callers
// that arrive meanwhile. Its methods may be called from any goroutine.
type shared[T any] struct {
	do func() T

	mu      sync.Mutex
	running bool
	waiting *round[T] // the next; nil: nobody waits for it
}

type round[T any] struct {
	done   chan struct{}
	result T
}

func (s *shared[T]) next() T {
	s.mu.Lock()
	if s.waiting == nil {
		s.waiting = &round[T]{done: make(chan struct{})}
	}
	mine := s.waiting
	if !s.running {
		s.running = true
		go s.run()
	}
	s.mu.Unlock()
	<-mine.done
	return mine.result
}

// run ends after a pause in which no caller came.
func (s *shared[T]) run() {
	rests := time.Duration(0)
	for r := s.take(); r != nil; r = s.take() {
		begun := time.Now()
		r.result = s.do()
		close(r.done)
		rests = min(rests+1, mostRests)
		time.Sleep(rests * min(restTimes*time.Since(begun), longestRest))
	}
}

// take returns the waiting round. Without one it returns nil, and running ends.
func (s *shared[T]) take() *round[T] {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.waiting
	s.waiting, s.running = nil, r != nil
	return r
}
