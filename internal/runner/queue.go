package runner

import (
	"slices"
	"sync"
)

// class is the start class of a run. Lower ones are served first.
type class uint8

const (
	interactive class = iota // a request or an operator waits for it
	autostart                // started by the exporter itself
	background               // a validation, or compiled in advance
)

// startQueue bounds how many runs compile and load at a time. A run holds a
// slot from before its first process until its procfs file exists, or it has
// ended. The methods may be called from any goroutine.
//
// The classes are served in their order, and each first come, first served: any
// number of autostarts delays a request by no more than the starts that are
// under way. Background runs leave one slot free, where there are two.
type startQueue struct {
	mu      sync.Mutex
	max     int
	held    int
	waiting []*slot // in the order in which they are served
}

// slot is one run's slot: waited for, then held, then released.
type slot struct {
	queue    *startQueue
	class    class // guarded by queue.mu, as released is
	released bool
	granted  chan struct{} // closed when the slot is held
	moved    chan struct{} // has one element when the position has changed
}

func newStartQueue(slots int) *startQueue { return &startQueue{max: slots} }

// join requests a slot, for which release must be called.
func (q *startQueue) join(c class) *slot {
	s := &slot{
		queue:   q,
		class:   c,
		granted: make(chan struct{}),
		moved:   make(chan struct{}, 1),
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.insert(s)
	return s
}

// prioritize moves a waiting run to the end of the interactive class.
func (s *slot) prioritize() {
	q := s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.waiting, s); i >= 0 && s.class != interactive {
		q.waiting = slices.Delete(q.waiting, i, i+1)
		s.class = interactive
		q.insert(s)
	}
}

// release gives the slot to the next run. Calls after the first change nothing.
func (s *slot) release() {
	q := s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.released {
		return
	}
	s.released = true
	if i := slices.Index(q.waiting, s); i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
	} else {
		q.held--
	}
	q.serve()
}

// position returns the position of a waiting run, from 1, and how many wait. 0:
// it does not wait.
func (s *slot) position() (position, length int) {
	q := s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Index(q.waiting, s) + 1, len(q.waiting)
}

func (q *startQueue) hasWaiters() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting) > 0
}

// insert puts a run behind those of its class. The caller holds mu.
func (q *startQueue) insert(s *slot) {
	i := slices.IndexFunc(q.waiting, func(other *slot) bool { return other.class > s.class })
	if i < 0 {
		i = len(q.waiting)
	}
	q.waiting = slices.Insert(q.waiting, i, s)
	q.serve()
}

// serve grants free slots, and tells the others that they may have moved. The
// caller holds mu.
func (q *startQueue) serve() {
	for len(q.waiting) > 0 && q.held < q.max {
		next := q.waiting[0]
		if next.class == background && q.max > 1 && q.held == q.max-1 {
			break // those behind it are background, too
		}
		q.waiting = slices.Delete(q.waiting, 0, 1)
		q.held++
		close(next.granted)
	}
	for _, s := range q.waiting {
		select {
		case s.moved <- struct{}{}:
		default:
		}
	}
}
