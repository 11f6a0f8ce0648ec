package actors

import (
	"time"

	"stap-exporter/internal/script"
)

// Event is something that happened to a script. The log listens; the actor itself logs nothing.
type Event interface{ event() }

// StateChanged is published at every change of a script's state.
type StateChanged struct {
	Time    time.Time
	Script  string
	From    script.State
	To      script.State
	Cause   string    // why, in fixed words: "request", "autostart", "ready", "keepalive", "shutdown", "child ended", …
	Run     uint64    // the run that it is about
	OSPID   int       // of the child, 0 when there is none
	RetryAt time.Time // with To BackingOff
	Reason  string    // why the last run ended, several lines
}

// ChildEnded is published when a run is over: its processes are reaped and what they left is removed.
type ChildEnded struct {
	Time      time.Time
	Script    string
	Run       uint64
	Asked     bool          // the exporter had stopped it
	Lasted    time.Duration // from its start
	Reason    string
	Leftovers []string // what could not be removed
}

// ActorFailed is published when a script actor panicked for another reason than the end of its child: a bug.
type ActorFailed struct {
	Time   time.Time
	Script string
	Reason string
	Stack  string
}

func (StateChanged) event() {}
func (ChildEnded) event()   {}
func (ActorFailed) event()  {}
