package actors

import (
	"time"

	"stap-exporter/internal/exposition"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/stap"
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

// ChildEnded is published when a run is over: its processes are reaped and what
// they left is removed.
type ChildEnded struct {
	Time     time.Time
	Script   string
	Run      uint64
	Stopped  bool          // the exporter had stopped it
	Duration time.Duration // from its start
	Exit     stap.Exit
	Reason   string   // Exit's
	Residue  []string // Exit's: what could not be removed
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

// countReads counts a script's reads for its status, and hands all events on.
func countReads(reads *scrape.Reads, next func(Event)) func(Event) {
	return func(e Event) {
		if r, ok := e.(ReadEnded); ok {
			r.count(reads)
		}
		next(e)
	}
}

// lateRead is what the status says of a read that is not done in time.
var lateRead = "not done in time"

// noteLate says in the status that the read under way had its time: it may go
// on for as long as its script hangs.
func (a *scriptActor) noteLate() {
	if r := a.durable.read; r != nil && r.expired {
		a.durable.counted.Problem.Store(&lateRead)
	}
}

func (e *ReadEnded) count(reads *scrape.Reads) {
	reads.Done.Add(1)
	reads.Nanos.Store(int64(e.Duration))
	if e.Replies > 1 {
		reads.Shared.Add(uint64(e.Replies - 1))
	}
	if e.Err != nil || e.Expired {
		reads.Failed.Add(1)
		problem := lateRead
		if e.Err != nil {
			problem = e.Err.Error()
		}
		reads.Problem.Store(&problem)
		return
	}
	var problem *string
	if e.Page.Invalid() {
		problem = new(noValidSamples(e.Page).Error())
	}
	reads.Problem.Store(problem)
	if first := e.Page.First; first != nil {
		reads.Dropped.Add(uint64(e.Page.Problems()))
		reads.FirstDropped.Store(first)
	}
	reads.Bytes.Store(uint64(e.Page.Size))
	reads.Samples.Store(uint64(e.Page.Samples))
	if e.Page.Size == 0 {
		reads.Empty.Add(1)
	}
}

func (CrashLoopChanged) event() {}
func (ScriptRefused) event()    {}
func (ScriptReplaced) event()   {}
func (VersionRefused) event()   {}
func (StateChanged) event()     {}
func (ReadEnded) event()        {}
func (ChildEnded) event()       {}
func (ActorFailed) event()      {}
