package stap

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"stap-exporter/internal/proc"
)

// idleStart is how long a starting run may use no processor time before it
// loses its place among those that go on at a time, where others wait: it
// hangs, and its start timeout may be minutes away.
const idleStart = 10 * time.Second

// class is who is served before whom.
type class uint8

const (
	asked    class = iota // a request or an operator waits for it
	byItself              // an autostart script, until somebody asks for it
	ahead                 // what is compiled for later: precompiles, trials
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
	waiting []*turn // in the order in which they are served
}

// turn is one run's place in the queue: waiting, then held, then left.
type turn struct {
	queue   *startQueue
	class   class         // guarded by queue.mu, as left is
	left    bool          // it is not in the queue any more
	granted chan struct{} // closed when it is held
	moved   chan struct{} // has one element when its place changed
}

func newStartQueue(places int) *startQueue { return &startQueue{max: places} }

// join takes a place, for which leave must be called.
func (q *startQueue) join(c class) *turn {
	t := &turn{
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
func (t *turn) hurry() {
	q := t.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.waiting, t); i >= 0 && t.class != asked {
		q.waiting = slices.Delete(q.waiting, i, i+1)
		t.class = asked
		q.insert(t)
	}
}

// leave gives the place to the next. Calls after the first change nothing.
func (t *turn) leave() {
	q := t.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.left {
		return
	}
	t.left = true
	if i := slices.Index(q.waiting, t); i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
	} else {
		q.holding--
	}
	q.serve()
}

// place is where a waiting turn stands, from 1, and how many wait. 0: it does
// not wait.
func (t *turn) place() (place, of int) {
	q := t.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Index(q.waiting, t) + 1, len(q.waiting)
}

// crowded tells whether somebody waits.
func (q *startQueue) crowded() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting) > 0
}

// insert puts a turn behind those of its class and before those of later ones.
// The caller holds mu.
func (q *startQueue) insert(t *turn) {
	i := slices.IndexFunc(q.waiting, func(other *turn) bool { return other.class > t.class })
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
		if next.class == ahead && q.max > 1 && q.holding == q.max-1 {
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

// takeTurn waits until the run may start, and reports its place meanwhile. It
// returns false when the run is to end first.
func (r *Run) takeTurn() bool {
	begun := time.Now()
	for {
		select {
		case <-r.turn.granted:
			return true
		default:
		}
		if place, of := r.turn.place(); place > 0 {
			r.report(Progress{
				Run:      r.number,
				Activity: fmt.Sprintf("place %d of %d in the queue", place, of),
				Position: place,
				Length:   of,
			})
		}
		select {
		case <-r.turn.granted:
			r.queued = time.Since(begun)
			// in no place any more; its first process may be seconds away
			r.report(Progress{Run: r.number})
			return true
		case <-r.turn.moved:
		case <-r.stop.Done():
			return false
		case <-r.kill.Done():
			return false
		}
	}
}

// Hurry says that somebody waits for the run: it starts before those that
// nobody waits for. It never blocks, and changes nothing for a run that is past
// the queue.
func (r *Run) Prioritize() { r.turn.hurry() }

// idleWatch tells when a starting group hangs: when it used no processor time
// between two looks.
type idleWatch struct {
	group int
	used  time.Duration
	seen  bool
}

// idle looks once, and tells whether nothing was used since the look before.
func (w *idleWatch) idle() bool {
	used := proc.GroupUsage()[w.group].CPU
	same := w.seen && used == w.used
	w.used, w.seen = used, true
	return same
}
