package actors

import (
	"context"
	"time"

	"stap-exporter/internal/exposition"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
	"stap-exporter/internal/stap"
)

// The whole protocol of the script actor. Requests are imperatives, facts are
// past tense.

// ReadMetrics asks for the script's text, and starts the script when it does
// not run.
// From: Handle.Ask, on behalf of the HTTP front end. Handled in every state.
// Reply: exactly one script.Answer through respond. The page belongs to all who
// got it: nobody writes to it.
// The message belongs to the asker; the actor may use it until it has
// responded, and never after.
type ReadMetrics struct {
	Query scrape.Query

	// of this use of the pooled message; a reply to an earlier use is thrown
	// away
	number uint64
	reply  chan reply  // see repliesAtMost
	timer  *time.Timer // calls wake
}

// AskerLeft says that nobody waits for the answer to a ReadMetrics any more:
// its deadline passed, or its client left. The actor forgets the request and
// does not answer it.
// From: Handle.Ask. Handled in every state; the message may be answered
// already.
type RequesterLeft struct {
	request *ReadMetrics // never used again by the asker
	number  uint64
}

// Shutdown tells the actor to end its child and to start none again. From: the
// supervisor, before it stops the actors; with Removed, from Handle.Remove: the
// script is no more, requests get script.ErrUnknown, and the actor stops itself
// at the end. Handled in every state; it may come again.
// Reply: Handle.Ended, when nothing is left of the child.
type Shutdown struct{ Removed bool }

// ReplaceScript says that the script's file has changed, or was written again.
// An actor without a running child takes the new script at once and forgets its
// back-off.
// While the old version runs, the new one is tried first, and the old one runs
// on if stap refuses it; a program cannot be tried and is restarted at once.
// The same version as the running one changes nothing.
// From: the root actor. Handled in every state.
type ReplaceScript struct {
	Script  script.Script
	Version string // tells one version from another: what Spawn got, or another
}

// ValidationEnded reports that a new version of the script was validated: with
// exit code 0 it is good. Run is the validation's number. From: the
// validation's goroutine. Handled in every state.
type ValidationEnded stap.Exited

// StartNow starts the script, whatever held it off or stopped it. From: the
// supervisor, for an operator. Handled in every state.
type StartNow struct{}

// StopNow stops the script, and lets nothing start it, no request and no
// autostart, until StartNow, RestartNow or another version of its file. From:
// the supervisor, for an operator. Handled in every state.
type StopNow struct{}

// RestartNow is a StopNow, and a StartNow when the child is gone. From: the
// supervisor, for an operator. Handled in every state.
type RestartNow struct{}

// KillChild ends the child at once, without asking it first, and any that a
// later Shutdown finds.
// From: the supervisor, at a second signal. Handled in every state.
type KillChild struct{}

// ProcessProgressed reports what a starting child does. From: the run's
// goroutine. Handled in Starting.
type ProcessProgressed = stap.Progress

// ProcessReady reports that the script's procfs file is there. From: the run's
// goroutine. Handled in Starting.
type ProcessReady struct {
	stap.Ready
	Source Source // reads that file
}

// ProcessExited is the last report of a run: the child was reaped, and what it
// left behind was removed.
// From: the run's goroutine. Handled in Starting, Running, Stopping.
type ProcessExited = stap.Exited

// ReadFinished ends a read: its file is closed, its text is checked. The page
// is shared by all who get it: nobody writes to it.
// From: the read's goroutine. Handled in every state.
type ReadFinished struct {
	Read uint64
	Page *exposition.Page
	Err  error
}

// ReadExpired says that a read had its time, and says so again for as long as
// the read does not end. From: the read's timer. Handled while that read is
// under way.
type ReadExpired struct{ Read uint64 }

// ReadDue says that the pause after a read is over. From: its timer. Handled in
// Running.
type ReadDue struct{ Read uint64 }

// KeepaliveExpired says that the keepalive timer went off. From: that timer.
// Handled in Running.
type KeepaliveExpired struct{ Timer uint64 }

// RunProvedHealthy says that a run has been ready for so long that the quick
// ends before it count no more. From: its timer. Handled in Running.
type RunProvedHealthy struct{ Run uint64 }

// HoldOffExpired says that the back-off is over. From: its timer. Handled in
// BackingOff.
type BackoffExpired struct{ Timer uint64 }

// Source is the file that a running script offers.
type Source interface {
	// Read returns one whole text, checked, or an error: at the latest shortly
	// after ctx ends, and as soon as it can without harm to the script once
	// enough is closed. One Read at a time.
	Read(ctx context.Context, enough <-chan struct{}) (*exposition.Page, error)
	// Patient tells that the script would die of a reader that leaves before
	// the end: the context of Read is then not ended when its time is up.
	MustDrain() bool
	// Pace says how many times as long as a read the pause after it lasts: the
	// script's own work needs time, too. 0: no pause.
	Pace() int
}

// Process is one run of a script: its child processes from the first to the
// last. Its methods never block.
type Process interface {
	// Stop ends the run once after is closed (nil: at once): TERM, then KILL.
	// It may be called again.
	Stop(after <-chan struct{})
	// Hurry says that somebody waits for the run: its turn to start comes
	// before that of those that nobody waits for.
	Prioritize()
	// Kill ends the run at once.
	Kill()
}

// Starter starts runs. Start never blocks; the run's reports are
// ProcessProgressed, ProcessReady and, always last, ProcessExited.
type Starter interface {
	Start(s script.Script, run uint64, report func(message any)) Process
	// Try compiles s, as far as that can be done without running it; its one
	// report is a TrialEnded. nil: it cannot be done.
	Validate(s script.Script, trial uint64, report func(message any)) Process
}
