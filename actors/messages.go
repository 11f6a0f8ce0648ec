package actors

import (
	"context"
	"time"

	"stap-exporter/internal/exposition"
	"stap-exporter/internal/script"
	"stap-exporter/internal/stap"
)

// The whole protocol of the script actor. Requests are imperatives, facts are past tense.

// ReadMetrics asks for the script's text, and starts the script when it does not run.
// From: Handle.Ask, on behalf of the HTTP front end. Handled in every state.
// Reply: exactly one script.Answer through respond. The page belongs to all who got it: nobody writes to it.
// The message belongs to the asker; the actor may use it until it has responded, and never after.
type ReadMetrics struct {
	Query script.Query

	number uint64      // of this use of the pooled message; a reply to an earlier use is thrown away
	reply  chan reply  // capacity 1
	timer  *time.Timer // of the asker
}

// Shutdown tells the actor to end its child and to start none again.
// From: the supervisor, once, before it stops the actors. Handled in every state.
// Reply: one ShutdownFinished into Report, when nothing is left of the child. Report must have room: the actor does not wait.
type Shutdown struct {
	Report chan<- ShutdownFinished
}

// ShutdownFinished says that the script's child is gone. Leftovers names what could not be removed.
type ShutdownFinished struct {
	Script    string
	Leftovers []string
}

// KillChild ends the child at once, without asking it first, and any that a later Shutdown finds.
// From: the supervisor, at a second signal. Handled in every state.
type KillChild struct{}

// ProcessProgressed says what a starting child is doing. From: the run's goroutine. Handled in Starting.
type ProcessProgressed struct {
	Run      uint64
	OSPID    int
	Activity string
}

// ProcessReady says that the script's procfs file is there. From: the run's goroutine. Handled in Starting.
type ProcessReady struct {
	Run      uint64
	OSPID    int
	Compiled bool // the start had to compile
	Source   Source
}

// ProcessExited says that the child was reaped and what it left was removed: the last report of a run.
// From: the run's goroutine. Handled in Starting, Running, Stopping.
type ProcessExited struct {
	Run  uint64
	Exit stap.Exit
}

// ReadFinished ends a read: its file is closed, its text is checked. The page is shared by all who get it: nobody writes to it.
// From: the read's goroutine. Handled in every state.
type ReadFinished struct {
	Read uint64
	Page *exposition.Page
	Err  error
}

// ReadExpired says that a read had its time, and says so again for as long as the read does not end. From: the read's timer. Handled while that read is under way.
type ReadExpired struct{ Read uint64 }

// KeepaliveExpired says that the keepalive timer went off. From: that timer. Handled in Running.
type KeepaliveExpired struct{ Timer uint64 }

// HoldOffExpired says that the back-off is over. From: its timer. Handled in BackingOff.
type HoldOffExpired struct{ Timer uint64 }

// Source is the file that a running script offers.
type Source interface {
	// Read returns one whole text, checked, or an error: at the latest shortly after ctx ends, and as soon as it can without harm to the script once enough is closed. One Read at a time.
	Read(ctx context.Context, enough <-chan struct{}) (*exposition.Page, error)
	// Patient tells that the script would die of a reader that leaves before the end: the context of Read is then not ended when its time is up.
	Patient() bool
}

// Process is one run of a script: its child processes from the first to the last. Its methods never block.
type Process interface {
	// Stop ends the run once after is closed (nil: at once): TERM, then KILL. It may be called again.
	Stop(after <-chan struct{})
	// Kill ends the run at once.
	Kill()
}

// Starter starts runs. Start never blocks; the run's reports are ProcessProgressed, ProcessReady and, always last, ProcessExited.
type Starter interface {
	Start(s script.Script, run uint64, report func(message any)) Process
}
