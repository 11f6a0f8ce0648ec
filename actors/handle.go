package actors

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"stap-exporter/internal/scrape"
)

// Handle is what the outside holds of a script actor. Its methods may be called
// from any goroutine.
type Handle struct {
	root     *actor.RootContext
	actorPID *actor.PID
	board    *atomic.Pointer[scrape.Status]
	ending   *ending
	gone     atomic.Bool // Remove was called
}

// ending is the end of a script: after Shutdown, nothing is left of its child.
type ending struct {
	done chan struct{}
	left []string // what could not be removed; to be read after done
}

// Status returns the script's latest published status.
func (h *Handle) Status() *scrape.Status { return h.board.Load() }

// Tell sends a message that has no reply, or one that names its own.
func (h *Handle) Tell(message any) { h.root.Send(h.actorPID, message) }

// Remove ends the script since its file is gone. From now on it is unknown to
// everybody who asks, and the actor stops when nothing is left of its child.
func (h *Handle) Remove() {
	h.gone.Store(true)
	h.Tell(Shutdown{Removed: true})
}

// Ended is closed when nothing is left of the child, after Shutdown or Remove.
func (h *Handle) Ended() <-chan struct{} { return h.ending.done }

// Leftovers names what could not be removed. It may be called once Ended is
// closed.
func (h *Handle) Residue() []string { return h.ending.left }

// ActorPID returns the actor's address.
func (h *Handle) ActorPID() *actor.PID { return h.actorPID }

type reply struct {
	number uint64
	answer scrape.Answer
}

// repliesAtMost is what can be in a request's channel at a time: its answer, a
// call to look, and a late one of each from an earlier use.
const repliesAtMost = 4

var requests = sync.Pool{New: func() any {
	m := &ReadMetrics{reply: make(chan reply, repliesAtMost)}
	m.timer = time.AfterFunc(time.Hour, m.wake)
	m.timer.Stop()
	return m
}}

// How soon a waiting request's client is looked at for the first time, and how
// often after that: most requests are answered long before.
const (
	firstLook = 250 * time.Millisecond
	nextLook  = time.Second
)

// Ask sends a ReadMetrics and waits for its answer, at the longest until the
// query's deadline or until its client has left. It does not allocate.
func (h *Handle) Ask(q scrape.Query) scrape.Answer {
	m := requests.Get().(*ReadMetrics)
	for len(m.reply) > 0 {
		<-m.reply // of an earlier use
	}
	m.number++
	number := m.number
	m.Query = q
	m.timer.Reset(lookAfter(q, firstLook))
	h.root.Send(h.actorPID, m)
	if h.gone.Load() {
		// The actor may have stopped before it saw m. Who finds gone unset is
		// in its mailbox before Remove's message, and is answered.
		m.timer.Stop()
		return scrape.Answer{Err: scrape.ErrUnknown}
	}
	for {
		switch r := <-m.reply; r.number {
		case number:
			m.timer.Stop()
			requests.Put(m)
			return r.answer
		case 0:
			late := !time.Now().Before(q.Deadline)
			if !late && (q.Client == nil || !q.Client.Gone()) {
				m.timer.Reset(lookAfter(q, nextLook))
				continue
			}
			// The actor still holds the message: it must not go back to the
			// pool.
			h.Tell(RequesterLeft{m, number})
			if late {
				return h.late()
			}
			return scrape.Answer{Err: scrape.ErrClientGone, Status: h.board.Load()}
		}
	}
}

// wake is called by the timer: the asker is to look whether to wait any longer.
// It comes by the channel of the answer, with the number 0, since to wait for
// two channels costs a fifth of a request.
func (m *ReadMetrics) wake() {
	select {
	case m.reply <- reply{}:
	default:
	}
}

// lookAfter is the time to the next look at the client, or to the deadline.
func lookAfter(q scrape.Query, look time.Duration) time.Duration {
	left := time.Until(q.Deadline)
	if q.Client == nil {
		return left
	}
	return min(left, look)
}

// late is the answer when the deadline came first.
func (h *Handle) late() scrape.Answer {
	s := h.board.Load()
	a := scrape.Answer{Err: scrape.ErrNotRunning, Status: s}
	switch s.State {
	case scrape.Running:
		a.Err = scrape.ErrReadTimeout
	case scrape.BackingOff:
		a.Err = scrape.ErrBackingOff
	case scrape.Stopped:
		a.Err = scrape.ErrShuttingDown
	case scrape.Idle, scrape.Starting, scrape.Stopping:
	}
	return a
}

// respond answers the request. It never blocks; a second answer to the same
// request is thrown away.
func (m *ReadMetrics) respond(number uint64, a scrape.Answer) {
	select {
	case m.reply <- reply{number, a}:
	default:
	}
}
