package actors

import (
	"context"
	"time"

	"stap-exporter/internal/exposition"
	"stap-exporter/internal/runner"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
)

// The whole protocol of the script actor. Requests are imperatives, facts are
// in the past tense.

// ReadMetrics requests the script's metrics, and starts the script if it does
// not run.
// From: Handle.Ask, for the HTTP front end. Handled in every state.
// Reply: exactly one scrape.Answer through respond. All requests of one read
// share its page, which must not be written to.
// The message belongs to the requester. The actor may use it until it has
// responded, and never after.
type ReadMetrics struct {
	Query scrape.Query

	// of this use of the pooled message; replies to an earlier use are ignored
	number uint64
	reply  chan reply  // see maxReplies
	timer  *time.Timer // calls wake
}

// RequesterLeft reports that the requester of a ReadMetrics does not wait any
// more: the deadline passed, or the client disconnected. The actor forgets the
// request and does not answer it.
// From: Handle.Ask. Handled in every state; the request may be answered
// already.
type RequesterLeft struct {
	request *ReadMetrics // never used again by the requester
	number  uint64
}

// Shutdown makes the actor end its child and start none again. With Removed the
// script's file is gone: requests get scrape.ErrUnknown, and the actor stops at
// the end.
// From: the supervisor, before it stops the actors; with Removed, from
// Handle.Remove. Handled in every state; it may come again.
// Reply: Handle.Ended, when there is no child any more.
type Shutdown struct{ Removed bool }

// ReplaceScript reports that the script's file changed, or was written again.
// An actor without a running child takes the new script at once and resets its
// failures.
// While the old version runs, the new one is validated first, and the old one
// runs on if stap refuses it. An executable cannot be validated and is
// restarted at once. The version that runs already changes nothing.
// From: the root actor. Handled in every state.
type ReplaceScript struct {
	Script  script.Script
	Version string // differs for each version: what Spawn got, or another
}

// ValidationEnded reports that a new version of the script was validated: with
// exit code 0 it is good. Run is the validation's number. From: the
// validation's goroutine. Handled in every state.
type ValidationEnded runner.Exited

// StartNow starts the script, and ends its back-off or pause.
// From: the supervisor, for an operator. Handled in every state.
type StartNow struct{}

// StopNow stops the script and pauses it: nothing starts it, no request and no
// autostart, until StartNow, RestartNow or another version of its file.
// From: the supervisor, for an operator. Handled in every state.
type StopNow struct{}

// RestartNow is a StopNow, and a StartNow when the child is gone.
// From: the supervisor, for an operator. Handled in every state.
type RestartNow struct{}

// KillChild kills the child without a TERM before, and any child that is
// stopped later.
// From: the supervisor, at a second signal. Handled in every state.
type KillChild struct{}

// ProcessProgressed reports what a starting child does. From: the run's
// goroutine. Handled in Starting.
type ProcessProgressed = runner.Progress

// ProcessReady reports that the script's procfs file is there. From: the run's
// goroutine. Handled in Starting.
type ProcessReady struct {
	runner.Ready
	Source Source // reads that file
}

// ProcessExited is the last report of a run: the child was reaped, and its
// residue was removed.
// From: the run's goroutine. Handled in Starting, Running, Stopping.
type ProcessExited = runner.Exited

// ReadFinished is the end of a read: its file is closed, its text is sanitized.
// All requests of the read share the page, which must not be written to.
// From: the read's goroutine. Handled in every state.
type ReadFinished struct {
	Read uint64
	Page *exposition.Page
	Err  error
}

// ReadExpired reports that the time of a read is up, and again each time the
// read takes as long once more.
// From: the read's timer. Handled in Running.
type ReadExpired struct{ Read uint64 }

// ReadDue reports that the pause after a read is over.
// From: the pause's timer. Handled in Running.
type ReadDue struct{ Read uint64 }

// KeepaliveExpired reports that the keepalive timer fired.
// From: that timer. Handled in Running.
type KeepaliveExpired struct{ Timer uint64 }

// RunProvedHealthy reports that a run has been ready for so long that the
// failures before it do not count any more.
// From: its timer. Handled in Running.
type RunProvedHealthy struct{ Run uint64 }

// BackoffExpired reports that the back-off is over.
// From: its timer. Handled in BackingOff.
type BackoffExpired struct{ Timer uint64 }

// Source is the file that a running script offers.
type Source interface {
	// Read returns one whole text, sanitized, or an error. It returns shortly
	// after ctx ends, and once abandon is closed as soon as it can without harm
	// to the script. One Read at a time.
	Read(ctx context.Context, abandon <-chan struct{}) (*exposition.Page, error)
	// MustDrain reports whether the script would die of a reader that closes
	// the file before the end: the context of Read then does not end when its
	// time is up.
	MustDrain() bool
	// Pace is how many times as long as a read the pause after it lasts: the
	// script's own work needs time, too. 0: no pause.
	Pace() int
}

// Process is one run of a script: its child processes from the first to the
// last. Its methods never block.
type Process interface {
	// Stop ends the run once after is closed (nil: at once): TERM, then KILL.
	// It may be called again.
	Stop(after <-chan struct{})
	// Prioritize reports that a request waits for the run: it is started before
	// those that no request waits for.
	Prioritize()
	// Kill ends the run at once.
	Kill()
}

// Starter starts runs. Start never blocks; the run's reports are
// ProcessProgressed, ProcessReady and, always last, ProcessExited.
type Starter interface {
	Start(s script.Script, run uint64, report func(message any)) Process
	// Validate compiles s, as far as that can be done without running it; its
	// one report is a ValidationEnded. nil: it cannot be done.
	Validate(s script.Script, validation uint64, report func(message any)) Process
}
