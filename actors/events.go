package actors

import (
	"time"

	"stap-exporter/internal/exposition"
	"stap-exporter/internal/scrape"
)

// Event is something that happened to a script. Log, metrics and API listen;
// the actor itself logs nothing.
type Event interface{ event() }

// StateChanged is published at every change of a script's state.
type StateChanged struct {
	Time      time.Time
	Script    string
	From      scrape.State
	To        scrape.State
	Autostart bool // the script is one
	Cause     Cause
	Run       uint64        // the run that it is about
	Took      time.Duration // with To Running: from the start; with Compiled true it had to compile
	Compiled  bool
	OSPID     int       // of the child, 0 when there is none
	RetryAt   time.Time // with To BackingOff
	Reason    string    // why the last run ended, several lines
}

// ChildEnded is published when a run is over: its processes are reaped and its
// residue is removed.
type ChildEnded struct {
	Script  string
	End     scrape.End
	Residue []string // what could not be removed, by name
}

// ActorFailed is published when a script actor panicked for another reason than
// the end of its child: a bug.
type ActorFailed struct {
	Time   time.Time
	Script string
	Reason string
	Stack  string
}

// ReadEnded is published when a read's file is closed.
type ReadEnded struct {
	Script   string
	Duration time.Duration    // from the decision to read to the end of the check
	Page     *exposition.Page // nil with Err
	Err      error            // why there is no page
	Expired  bool             // its time was up before: nobody got its page
	Replies  int              // how many requests it answered
}

// ScriptReplaced is published when the script is another version of its file
// than before.
type ScriptReplaced struct {
	Time   time.Time
	Script string
}

// ScriptRefused is published when the script is a version of its file that must
// not be started.
type ScriptRefused struct {
	Time   time.Time
	Script string
	Reason string
}

// VersionRefused is published when a new version of the file does not take
// over, since stap or the exporter refuses it. The old one runs on.
type VersionRefused struct {
	Time   time.Time
	Script string
	Reason string
}

// CrashLoopChanged is published when a crash loop begins or ends.
type CrashLoopChanged struct {
	Time     time.Time
	Script   string
	Looping  bool          // it begins
	Failures int           // in a row
	Cause    string        // "quick ends"; of its end: "healthy", "script changed", "operator"
	Backoff  time.Duration // while it lasts
	Reason   string        // of the last end, several lines
}

func (CrashLoopChanged) event() {}
func (ScriptRefused) event()    {}
func (ScriptReplaced) event()   {}
func (VersionRefused) event()   {}
func (StateChanged) event()     {}
func (ReadEnded) event()        {}
func (ChildEnded) event()       {}
func (ActorFailed) event()      {}
