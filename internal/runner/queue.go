package runner

import (
	"slices"
	"sync"
)

// class is who is served before whom.
type class uint8

const (
	interactive class = iota // a request or an operator waits for it
	autostart                // an autostart script, until somebody asks for it
	background               // what is compiled for later: precompiles, trials
)

// startQueue bounds how many runs compile and load at a time, from before a
// run's first process until its metrics are there, or it has ended. Its methods
// may be called from any goroutine.
//
// The classes are served in their order, and each first come first served:
// autostarts, however many, never hold up a request by more than the starts
// that are under way. What is ahead leaves one place free for the others, where
// there are two.
type startQueue struct {
	mu      sync.Mutex
	max     int
	holding int
	waiting []*slot // in the order in which they are served
}

// turn is one run's place in the queue: waiting, then held, then left.
type slot struct {
	queue    *startQueue
	class    class         // guarded by queue.mu, as left is
	released bool          // it is not in the queue any more
	granted  chan struct{} // closed when it is held
	moved    chan struct{} // has one element when its place changed
}

func newStartQueue(places int) *startQueue { return &startQueue{max: places} }

// join takes a place, for which leave must be called.
func (q *startQueue) join(c class) *slot {
	t := &slot{
		queue:   q,
		class:   c,
		granted: make(chan struct{}),
		moved:   make(chan struct{}, 1),
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.insert(t)
	return t
}

// hurry puts a turn that waits behind those that somebody waits for, before all
// others.
func (t *slot) prioritize() {
	q := t.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.waiting, t); i >= 0 && t.class != interactive {
		q.waiting = slices.Delete(q.waiting, i, i+1)
		t.class = interactive
		q.insert(t)
	}
}

// leave gives the place to the next. Calls after the first change nothing.
func (t *slot) release() {
	q := t.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.released {
		return
	}
	t.released = true
	if i := slices.Index(q.waiting, t); i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
	} else {
		q.holding--
	}
	q.serve()
}

// place is where a waiting turn stands, from 1, and how many wait. 0: it does
// not wait.
func (t *slot) position() (place, of int) {
	q := t.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Index(q.waiting, t) + 1, len(q.waiting)
}

// crowded tells whether somebody waits.
func (q *startQueue) hasWaiters() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting) > 0
}

// insert puts a turn behind those of its class and before those of later ones.
// The caller holds mu.
func (q *startQueue) insert(t *slot) {
	i := slices.IndexFunc(q.waiting, func(other *slot) bool { return other.class > t.class })
	if i < 0 {
		i = len(q.waiting)
	}
	q.waiting = slices.Insert(q.waiting, i, t)
	q.serve()
}

// serve grants what is free, and tells the others that they may have moved. The
// caller holds mu.
func (q *startQueue) serve() {
	for len(q.waiting) > 0 && q.holding < q.max {
		next := q.waiting[0]
		if next.class == background && q.max > 1 && q.holding == q.max-1 {
			break // all behind it are ahead, too
		}
		q.waiting = slices.Delete(q.waiting, 0, 1)
		q.holding++
		close(next.granted)
	}
	for _, t := range q.waiting {
		select {
		case t.moved <- struct{}{}:
		default:
		}
	}
}
