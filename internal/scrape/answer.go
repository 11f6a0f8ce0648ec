package scrape

import (
	"errors"
	"time"

	"stap-exporter/internal/exposition"
	"stap-exporter/internal/script"
)

// Why an Answer has no body. The HTTP front end turns each into a status code.
var (
	ErrUnknown = errors.New("script not found") // no such script
	// idle, starting or stopping: started, or about to be
	ErrNotRunning = errors.New("script is not running yet")
	// Status.RetryAt and Status.Reason say more
	ErrBackingOff = errors.New("script failed and is in back-off")
	// an operator stopped it, and has not started it again
	ErrPaused = errors.New("script was paused by an operator")
	// it runs, but its procfs file did not answer
	ErrReadTimeout = errors.New("script's metrics did not arrive in time")
	// it runs, but its procfs file cannot be opened or read; wrapped with the
	// cause
	ErrReadFailed = errors.New("read script's metrics")
	// something was read, but no line of it parses; wrapped with the first
	// reason
	ErrNoValidSamples = errors.New("script's text holds no valid sample")
	// no place is left among those that wait for it
	ErrOverLimit = errors.New("too many requests wait for the script")
	// while its request was waiting: nobody is there to read the answer
	ErrClientGone   = errors.New("client disconnected")
	ErrShuttingDown = errors.New("exporter is shutting down") // the server ends
	// the actor panicked while it held this request
	ErrInternal = errors.New("internal error in the script actor")

	// A script that may not be started (Script.Refused): ErrUntrusted, see
	// trust.go, and ErrDirective, see directives.go. Both are wrapped with what
	// to do. An error may match both; then ErrUntrusted counts.
)

// State is where a script stands. The script actor's state table is in package
// actors.
type State uint8

// The states of a script. Exactly one holds at any time.
const (
	Idle       State = iota // no child process; a request starts it
	Starting                // the child compiles or loads; its procfs file is not there yet
	Running                 // the procfs file is there and is read on request
	Stopping                // the child was told to end and is not yet gone
	BackingOff              // the child failed or ended; nothing starts before Status.RetryAt
	// the server is shutting down, or the script's file is gone, and nothing is
	// left of the child; final
	Stopped
)

var stateNames = [...]string{"idle", "starting", "running", "stopping", "backing-off", "stopped"}

// String returns the state's name as the list, the log and the metrics show it.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "unknown"
}

// Status is a snapshot of one script, published by its actor at every change.
// It is immutable once published.
type Status struct {
	Script script.Script
	State  State
	Since  time.Time // when State was entered
	// what a starting script is doing, in a few words ("pass 4: compile the
	// module"); empty otherwise
	Activity string
	// Starting, while it waits for its turn: where it stands in the queue of
	// starts, from 1; else 0
	QueuePosition int
	QueueLength   int       // and how many wait in it
	RetryAt       time.Time // BackingOff: the earliest moment of the next start; zero otherwise
	// why the last run ended, with the useful tail of its output, several
	// lines; empty while nothing went wrong
	Reason string
	// how long the latest start took that came to Running; 0 while there was
	// none
	LastStart time.Duration
	Compiling bool // Starting: it compiles
	// LastStart of the latest start that had to compile; 0 while there was none
	LastCompile time.Duration
	Run         uint64 // counts the starts of this script, from 1; 0 before the first
	// counts the reads of the script's metrics, shared by all its statuses;
	// never nil in a published one
	Reads *Reads
	// counts the requests for the script, shared by all its statuses; never nil
	// in a published one
	Requests *Requests
	// an operator stopped it: nothing starts it but an operator, or a new
	// version of its file
	Paused bool
	OSPID  int // process id of the child while there is one, else 0
	// the useful tail of what that has written so far, may be called by
	// anybody; nil without a child
	Output              func() []string
	Backoff             time.Duration // BackingOff: how long it is held off in all; zero otherwise
	ConsecutiveFailures int           // ends in a row, each before the run was healthy for long
	// there were so many of them that it is held off for as long as can be each
	// time, until a run is healthy for long, the file changes, or an operator
	// starts it
	CrashLoop bool
	History   *History // how its runs ended; nil before the first end
	// NewVersion says, while an older version of the file runs, why the new one
	// does not: "being tried", or why it was refused, several lines; else
	// empty.
	NewVersion string
}

// Count counts a request for the script that was answered with code. A nil
// status counts nothing.
func (s *Status) Count(code int) {
	if s != nil {
		s.Requests.Count(code)
	}
}

// Client is the one who sent a request.
type Client interface {
	// Left tells whether the client is known to be gone. It costs a system
	// call, does not block, and may be called from any goroutine.
	Gone() bool
}

// Query is what a scrape asks for, beside the script's name.
type Query struct {
	Deadline time.Time       // the answer must be there by then, whatever it is
	Form     exposition.Form // that the page will be sent in
	// asked now and then while the request waits long; once it has left the
	// answer is ErrClientLeft. nil: it never leaves
	Client  Client
	Passive bool // of interest only if it runs: starts nothing, renews no keepalive
	// wait until Deadline for a script that is not running yet; false: answer
	// ErrWarming at once
	Wait bool
}

// Answer is the reply to a Query: Page, or Err saying why there is none.
type Answer struct {
	Page   *exposition.Page // the script's metrics; shared by all replies of one read
	Err    error            // nil, or one of the errors above (compare with errors.Is)
	Status *Status          // the script's status when the answer was given; nil with ErrUnknown
}
