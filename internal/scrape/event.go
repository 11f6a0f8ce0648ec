package scrape

import (
	"time"

	"stap-exporter/internal/exposition"
)

// Event is something that happened to a script. The script's actor publishes it
// in its own goroutine; the log, the metrics and the API listen.
type Event interface{ event() }

// StateChanged is published at every change of a script's state, and with From
// equal to To when a restarted actor begins.
type StateChanged struct {
	Time      time.Time
	Script    string
	From      State
	To        State
	Autostart bool // the script has the autostart directive
	Cause     Cause
	Run       uint64        // the latest run, 0 before the first
	Took      time.Duration // To is Running: how long the start took
	Compiled  bool          // To is Running: the start had to compile
	OSPID     int           // of the child; 0 without one
	RetryAt   time.Time     // To is BackingOff: the earliest moment of the next start
	Reason    string        // why the last run ended, several lines
}

// ChildEnded is published when a run is over: its processes are reaped and its
// residue is removed.
type ChildEnded struct {
	Script  string
	End     End
	Residue []string // what could not be removed, by name
}

// ActorFailed is published when a script actor panicked because of a bug, and
// not because its child ended.
type ActorFailed struct {
	Time   time.Time
	Script string
	Reason string
	Stack  string
}

// ReadEnded is published when the file of a read is closed.
type ReadEnded struct {
	Script   string
	Duration time.Duration    // from the decision to read to the sanitized page
	Page     *exposition.Page // nil if Err is set
	Err      error            // why there is no page
	Expired  bool             // its deadline had passed: the page answered no request
	Replies  int              // how many requests it answered
}

// ScriptReplaced is published when a new version of the script's file takes
// over.
type ScriptReplaced struct {
	Time   time.Time
	Script string
}

// ScriptRefused is published when a version of the script's file takes over
// that must not be started.
type ScriptRefused struct {
	Time   time.Time
	Script string
	Reason string
}

// VersionRefused is published when a new version of the script's file does not
// take over, because stap or the exporter refuses it. The old version keeps
// running.
type VersionRefused struct {
	Time   time.Time
	Script string
	Reason string
}

// CrashLoopChanged is published when a crash loop begins or ends.
type CrashLoopChanged struct {
	Time     time.Time
	Script   string
	Looping  bool // it begins
	Failures int  // consecutive ones
	// of its begin "consecutive failures"; of its end "healthy", "script
	// changed" or "operator"
	Cause   string
	Backoff time.Duration // before each start, while the crash loop lasts
	Reason  string        // of the last end, several lines
}

func (StateChanged) event()     {}
func (ChildEnded) event()       {}
func (ActorFailed) event()      {}
func (ReadEnded) event()        {}
func (ScriptReplaced) event()   {}
func (ScriptRefused) event()    {}
func (VersionRefused) event()   {}
func (CrashLoopChanged) event() {}
