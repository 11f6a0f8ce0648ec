package supervisor

import (
	"sync"
	"time"

	"stap-exporter/internal/scrape"
)

// keptEvents is how many events can be read back.
const keptEvents = 1000

// Event is what the API shows of an event of a script. The field names of its
// JSON form do not change.
type Event struct {
	Time   time.Time `json:"time"`
	Script string    `json:"script"`
	Kind   string    `json:"kind"` // see EventKinds
	From   string    `json:"from,omitempty"`
	To     string    `json:"to,omitempty"`
	// of a change of state; of an end: stopped, ended, failed, signal, error
	Cause     string   `json:"cause,omitempty"`
	Run       uint64   `json:"run,omitempty"`
	OSPID     int      `json:"os_pid,omitempty"`
	Reason    string   `json:"reason,omitempty"` // several lines
	Leftovers []string `json:"leftovers,omitempty"`
}

// eventRing keeps the last events of all scripts. They come from as many
// goroutines as there are scripts, so it has a lock; no event is published for
// a request.
type eventRing struct {
	mu     sync.Mutex
	events []Event
	next   int
}

func newEventRing() *eventRing { return &eventRing{} }

func (r *eventRing) listen(e scrape.Event) {
	switch e := e.(type) {
	case scrape.StateChanged:
		out := Event{
			Time:   e.Time,
			Script: e.Script,
			Kind:   KindStateChanged,
			From:   e.From.String(),
			To:     e.To.String(),
			Cause:  string(e.Cause),
			Run:    e.Run,
			OSPID:  e.OSPID,
		}
		r.add(out)
	case scrape.ChildEnded:
		r.add(Event{
			Time:      e.End.Time,
			Script:    e.Script,
			Kind:      KindChildEnded,
			Cause:     e.End.Cause.String(),
			Run:       e.End.Run,
			Reason:    e.End.Reason,
			Leftovers: e.Residue,
		})
	case scrape.ScriptReplaced:
		r.add(Event{Time: e.Time, Script: e.Script, Kind: KindScriptReplaced})
	case scrape.ScriptRefused:
		r.add(Event{
			Time:   e.Time,
			Script: e.Script,
			Kind:   KindScriptRefused,
			Reason: e.Reason,
		})
	case scrape.VersionRefused:
		r.add(Event{
			Time:   e.Time,
			Script: e.Script,
			Kind:   KindVersionRefused,
			Reason: e.Reason,
		})
	case scrape.CrashLoopChanged:
		kind := KindLoopEnded
		if e.Looping {
			kind = KindLoopBegan
		}
		r.add(Event{
			Time:   e.Time,
			Script: e.Script,
			Kind:   kind,
			Cause:  e.Cause,
			Reason: e.Reason,
		})
	case scrape.ActorFailed:
		r.add(Event{
			Time:   e.Time,
			Script: e.Script,
			Kind:   KindActorFailed,
			Reason: e.Reason,
		})
	}
}

func (r *eventRing) add(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.events) < keptEvents {
		r.events = append(r.events, e)
		return
	}
	r.events[r.next] = e
	r.next = (r.next + 1) % keptEvents
}

func (r *eventRing) list() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append(append([]Event{}, r.events[r.next:]...), r.events[:r.next]...)
}
