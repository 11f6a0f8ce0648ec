package actors

import (
	"sync/atomic"
	"time"

	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
)

// durable is what a script's actor leaves to its next incarnation. It reaches
// that one through the producer: a message would queue behind the requests that
// are already in the mailbox.
// It belongs to the incarnation that lives. protoactor makes the next one in
// the same mailbox, after the last message of the one before, so it needs no
// lock.
type durable struct {
	script  script.Script
	version string // of script
	update  update

	run       run
	lastStart lastStart
	reads     reads
	reason    string          // why the latest run ended
	residue   []string        // of the latest run: what could not be removed
	history   *scrape.History // how the runs ended

	paused   bool // an operator's StopNow is in effect
	shutdown bool // Shutdown came
	removed  bool // a Shutdown with Removed came
	killed   bool // KillChild came: a run that is stopped from now on is killed

	timers uint64 // number of the latest timer: an older one that still fires is ignored

	status   *atomic.Pointer[scrape.Status] // the published status: any goroutine reads it
	requests *scrape.Requests               // part of every status
	counted  *scrape.Reads                  // part of every status
	listen   func(scrape.Event)             // receives the script's events
	ending   *ending
}

// run is the latest run of the script.
type run struct {
	number    uint64    // from 1; never used twice, or an old report would match a new run
	process   Process   // nil once the run is reaped
	startedAt time.Time // when the actor started it
	readyAt   time.Time // zero until it is ready
	served    bool      // it has answered a request
}

// readyFor is how long the run has been ready at now.
func (r *run) readyFor(now time.Time) time.Duration {
	if r.readyAt.IsZero() {
		return 0
	}
	return now.Sub(r.readyAt)
}

// lastStart is the latest start that came to a ready run.
type lastStart struct {
	took     time.Duration
	compiled bool // it had to compile
	// took of the latest start that had to compile; 0: none had
	compileTook time.Duration
}

// reads are the reads of the script's file that may outlive an incarnation.
type reads struct {
	number      uint64    // of the latest read
	open        *read     // the read whose file is not closed yet, else nil
	pausedUntil time.Time // no read begins before
}

// update is the way from one version of the script's file to another.
type update struct {
	pending    *newVersion // the file's version while an older one runs, else nil
	number     uint64      // of the latest validation
	validation Process     // the validation under way, else nil
	validated  *newVersion // what that validates: pending, or one that was pending
}
