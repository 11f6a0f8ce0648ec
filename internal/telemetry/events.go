package telemetry

import (
	"sync"
	"time"

	"stap-exporter/internal/scrape"
)

// keptEvents is how many events can be read back.
const keptEvents = 1000

// Event is an event of a script as the API shows it. The field names of its
// JSON form do not change.
type Event struct {
	Time   time.Time `json:"time"`
	Script string    `json:"script"`
	Kind   string    `json:"kind"` // one of EventKinds
	From   string    `json:"from,omitempty"`
	To     string    `json:"to,omitempty"`
	// of a change of state: a scrape.Cause; of an end: a scrape.EndCause
	Cause   string   `json:"cause,omitempty"`
	Run     uint64   `json:"run,omitempty"`
	OSPID   int      `json:"os_pid,omitempty"`
	Reason  string   `json:"reason,omitempty"`  // several lines
	Residue []string `json:"residue,omitempty"` // of a run, by name
}

// eventOf returns the form of e that the API shows; false if it shows none.
func eventOf(e scrape.Event) (Event, bool) {
	switch e := e.(type) {
	case scrape.StateChanged:
		return Event{
			Time:   e.Time,
			Script: e.Script,
			Kind:   KindStateChanged,
			From:   e.From.String(),
			To:     e.To.String(),
			Cause:  string(e.Cause),
			Run:    e.Run,
			OSPID:  e.OSPID,
		}, true
	case scrape.ChildEnded:
		return Event{
			Time:    e.End.Time,
			Script:  e.Script,
			Kind:    KindChildEnded,
			Cause:   e.End.Cause.String(),
			Run:     e.End.Run,
			Reason:  e.End.Reason,
			Residue: e.Residue,
		}, true
	case scrape.ScriptReplaced:
		return Event{Time: e.Time, Script: e.Script, Kind: KindScriptReplaced}, true
	case scrape.ScriptRefused:
		return withReason(KindScriptRefused, e.Time, e.Script, e.Reason), true
	case scrape.VersionRefused:
		return withReason(KindVersionRefused, e.Time, e.Script, e.Reason), true
	case scrape.CrashLoopChanged:
		kind := KindLoopEnded
		if e.Looping {
			kind = KindLoopBegan
		}
		event := withReason(kind, e.Time, e.Script, e.Reason)
		event.Cause = e.Cause
		return event, true
	case scrape.ActorFailed:
		return withReason(KindActorFailed, e.Time, e.Script, e.Reason), true
	default: // reads are too many
		return Event{}, false
	}
}

func withReason(kind string, at time.Time, name, reason string) Event {
	return Event{
		Time:   at,
		Script: name,
		Kind:   kind,
		Reason: reason,
	}
}

// eventRing keeps the last events of all scripts. The zero value is empty. Its
// methods may be called from any goroutine: each script's actor records in its
// own.
type eventRing struct {
	mu     sync.Mutex
	events []Event
	next   int // the oldest, once there are keptEvents
}

func (r *eventRing) record(e scrape.Event) {
	event, ok := eventOf(e)
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.events) < keptEvents {
		r.events = append(r.events, event)
		return
	}
	r.events[r.next] = event
	r.next = (r.next + 1) % keptEvents
}

// list returns the events, the oldest first.
func (r *eventRing) list() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append(append([]Event{}, r.events[r.next:]...), r.events[:r.next]...)
}
