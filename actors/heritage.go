package actors

import (
	"sync/atomic"
	"time"

	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
)

// heritage is what a script actor leaves to its next incarnation. It belongs to
// the incarnation that lives; protoactor makes the next one in the same
// mailbox, after the last message of the one before, so it needs no lock.
// It comes to the reborn actor through the producer: a message would queue
// behind the requests that are already there.
type durable struct {
	script  script.Script
	version string // of script
	// the published status; read by anybody, written by the actor
	board *atomic.Pointer[scrape.Status]

	requests *scrape.Requests
	counted  *scrape.Reads
	listen   func(scrape.Event) // gets the script's events

	// number of the latest run: never starts again at 1, or an old report would
	// match a new run
	run         uint64
	process     Process       // the latest run while it is not reaped, else nil
	startedAt   time.Time     // of the latest run
	readyAt     time.Time     // of the latest run that became ready
	served      bool          // the latest run answered a read
	lastStart   time.Duration // that the latest run which became ready needed
	compiled    bool          // that run had to compile
	lastCompile time.Duration // lastStart of the latest run that had to compile

	reads       uint64    // number of the latest read
	pausedUntil time.Time // no read begins before
	read        *read     // the read whose file is not closed yet, else nil

	backoff      backoff
	backoffDelay time.Duration   // the latest hold-off
	retryAt      time.Time       // nothing starts before
	reason       string          // why the latest run ended
	history      *scrape.History // of the ends of runs

	timers   uint64 // number of the latest timer: an older one that still goes off is ignored
	shutdown bool   // Shutdown came
	removed  bool   // and said so
	killed   bool   // KillChild came: a run that is stopped from now on is killed
	paused   bool   // StopNow came, and nothing since that ends it

	pending     *newVersion // the file's version where the running one is an older one, else nil
	validations uint64      // number of the latest trial
	validation  Process     // the trial that is not over yet, else nil
	validated   *newVersion // what that one tries: pending, or one that was pending

	residue []string // of the latest run: what could not be removed
	ending  *ending
}
