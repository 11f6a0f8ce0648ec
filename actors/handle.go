package actors

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"stap-exporter/internal/scrape"
)

// Handle is what other packages hold of a script actor. Its methods may be
// called from any goroutine.
type Handle struct {
	root     *actor.RootContext
	actorPID *actor.PID
	status   *atomic.Pointer[scrape.Status]
	ending   *ending
	gone     atomic.Bool // Remove was called
}

// ending is the end of a script: after Shutdown there is no child any more.
type ending struct {
	done    chan struct{}
	residue []string // what could not be removed; read it after done
}

// Status returns the script's latest published status.
func (h *Handle) Status() *scrape.Status { return h.status.Load() }

// Send sends a message that has no reply, or one that names its own.
func (h *Handle) Send(message any) { h.root.Send(h.actorPID, message) }

// Remove ends the script because its file is gone. From now on requests get
// scrape.ErrUnknown, and the actor stops when there is no child any more.
func (h *Handle) Remove() {
	h.gone.Store(true)
	h.Send(Shutdown{Removed: true})
}

// Ended is closed after Shutdown or Remove, when there is no child any more.
func (h *Handle) Ended() <-chan struct{} { return h.ending.done }

// Residue names what could not be removed. Call it after Ended is closed.
func (h *Handle) Residue() []string { return h.ending.residue }

// ActorPID returns the actor's address.
func (h *Handle) ActorPID() *actor.PID { return h.actorPID }

type reply struct {
	number uint64
	answer scrape.Answer
}

// maxReplies is how many replies a request's channel can hold at a time: its
// answer, a wake, and a late one of each from an earlier use.
const maxReplies = 4

var requests = sync.Pool{New: func() any {
	m := &ReadMetrics{reply: make(chan reply, maxReplies)}
	m.timer = time.AfterFunc(time.Hour, m.wake)
	m.timer.Stop()
	return m
}}

// When Ask first checks whether the client of a waiting request is gone, and
// how often after that. Most requests are answered long before.
const (
	firstCheck = 250 * time.Millisecond
	nextCheck  = time.Second
)

// Ask sends a ReadMetrics and waits for its answer, no longer than until the
// query's deadline or until its client is gone. It does not allocate.
// While the actor is dormant, after too many bugs, the answer comes from the
// published status: an actor that panics at every message answers nothing.
func (h *Handle) Ask(q scrape.Query) scrape.Answer {
	if s := h.status.Load(); s.ActorFailed && !h.gone.Load() {
		return scrape.Answer{Err: dormantError(s.Reason), Status: s}
	}
	m := requests.Get().(*ReadMetrics)
	for len(m.reply) > 0 {
		<-m.reply // of an earlier use
	}
	m.number++
	number := m.number
	m.Query = q
	m.timer.Reset(untilCheck(q, firstCheck))
	h.root.Send(h.actorPID, m)
	if h.gone.Load() {
		// The actor may have stopped before it saw m. If gone is not set yet, m
		// is in the mailbox before Remove's message, and is answered.
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
				m.timer.Reset(untilCheck(q, nextCheck))
				continue
			}
			// The actor still holds the message: it must not go back to the
			// pool.
			h.Send(RequesterLeft{m, number})
			if late {
				return h.late()
			}
			return scrape.Answer{Err: scrape.ErrClientGone, Status: h.status.Load()}
		}
	}
}

// wake is called by the timer and lets Ask check whether to wait any longer. It
// comes through the channel of the answer, with the number 0: to wait for two
// channels costs a fifth of a request.
func (m *ReadMetrics) wake() {
	select {
	case m.reply <- reply{}:
	default:
	}
}

// untilCheck is the time until the next check of the client, or until the
// deadline if that comes first.
func untilCheck(q scrape.Query, check time.Duration) time.Duration {
	left := time.Until(q.Deadline)
	if q.Client == nil {
		return left
	}
	return min(left, check)
}

// late is the answer if the deadline comes first.
func (h *Handle) late() scrape.Answer {
	s := h.status.Load()
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
// request is ignored.
func (m *ReadMetrics) respond(number uint64, a scrape.Answer) {
	select {
	case m.reply <- reply{number, a}:
	default:
	}
}
