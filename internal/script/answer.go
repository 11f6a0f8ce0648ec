package script

import (
	"errors"
	"time"

	"stap-exporter/internal/exposition"
)

// Why an Answer has no body. The HTTP front end turns each into a status code.
var (
	ErrUnknown      = errors.New("script not found")                      // no such script
	ErrWarming      = errors.New("script is not running yet")             // idle, starting or stopping: started, or about to be
	ErrBackingOff   = errors.New("script failed and is held off")         // Status.RetryAt and Status.Reason say more
	ErrHeld         = errors.New("script was stopped by hand")            // an operator stopped it, and has not started it again
	ErrReadTimeout  = errors.New("script gave no metrics in time")        // it runs, but its procfs file did not answer
	ErrReadFailed   = errors.New("script's metrics cannot be read")       // it runs, but its procfs file cannot be opened or read; wrapped with the cause
	ErrRuined       = errors.New("script's text holds no valid sample")   // something was read, but no line of it parses; wrapped with the first reason
	ErrCrowded      = errors.New("too many requests wait for the script") // no place is left among those that wait for it
	ErrClientLeft   = errors.New("client left")                           // while its request was waiting: nobody is there to read the answer
	ErrShuttingDown = errors.New("exporter is shutting down")             // the server ends
	ErrInternal     = errors.New("internal error in the script actor")    // the actor panicked while it held this request

	// A script that may not be started (Script.Refused): ErrUntrusted, see trust.go, and ErrDirective, see directives.go. Both are wrapped with what to do. An error may match both; then ErrUntrusted counts.
)

// State is where a script stands. The script actor's state table is in package actors.
type State uint8

// The states of a script. Exactly one holds at any time.
const (
	Idle       State = iota // no child process; a request starts it
	Starting                // the child compiles or loads; its procfs file is not there yet
	Running                 // the procfs file is there and is read on request
	Stopping                // the child was told to end and is not yet gone
	BackingOff              // the child failed or ended; nothing starts before Status.RetryAt
	Stopped                 // the server is shutting down, or the script's file is gone, and nothing is left of the child; final
)

var stateNames = [...]string{"idle", "starting", "running", "stopping", "backing-off", "stopped"}

// String returns the state's name as the list, the log and the metrics show it.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "unknown"
}

// Status is a snapshot of one script, published by its actor at every change. It is immutable once published.
type Status struct {
	Script    Script
	State     State
	Since     time.Time       // when State was entered
	Activity  string          // what a starting script is doing, in a few words ("pass 4: compile the module"); empty otherwise
	Place     int             // Starting, while it waits for its turn: where it stands in the queue of starts, from 1; else 0
	Of        int             // and how many wait in it
	RetryAt   time.Time       // BackingOff: the earliest moment of the next start; zero otherwise
	Reason    string          // why the last run ended, with the useful tail of its output, several lines; empty while nothing went wrong
	LastStart time.Duration   // how long the latest start took that came to Running; 0 while there was none
	Compiling bool            // Starting: it compiles
	LastBuild time.Duration   // LastStart of the latest start that had to compile; 0 while there was none
	Run       uint64          // counts the starts of this script, from 1; 0 before the first
	Reads     *Reads          // counts the reads of the script's metrics, shared by all its statuses; never nil in a published one
	Requests  *Requests       // counts the requests for the script, shared by all its statuses; never nil in a published one
	Held      bool            // an operator stopped it: nothing starts it but an operator, or a new version of its file
	OSPID     int             // process id of the child while there is one, else 0
	Output    func() []string // the useful tail of what that has written so far, may be called by anybody; nil without a child
	HoldOff   time.Duration   // BackingOff: how long it is held off in all; zero otherwise
	QuickEnds int             // ends in a row, each before the run was healthy for long
	CrashLoop bool            // there were so many of them that it is held off for as long as can be each time, until a run is healthy for long, the file changes, or an operator starts it
	History   *History        // how its runs ended; nil before the first end
	// NewVersion says, while an older version of the file runs, why the new one does not: "being tried", or why it was refused, several lines; else empty.
	NewVersion string
}

// Count counts a request for the script that was answered with code. A nil status counts nothing.
func (s *Status) Count(code int) {
	if s != nil {
		s.Requests.Count(code)
	}
}

// Client is the one who sent a request.
type Client interface {
	// Left tells whether the client is known to be gone. It costs a system call, does not block, and may be called from any goroutine.
	Left() bool
}

// Query is what a scrape asks for, beside the script's name.
type Query struct {
	Deadline time.Time       // the answer must be there by then, whatever it is
	Form     exposition.Form // that the page will be sent in
	Client   Client          // asked now and then while the request waits long; once it has left the answer is ErrClientLeft. nil: it never leaves
	Passive  bool            // of interest only if it runs: starts nothing, renews no keepalive
	Wait     bool            // wait until Deadline for a script that is not running yet; false: answer ErrWarming at once
}

// Answer is the reply to a Query: Page, or Err saying why there is none.
type Answer struct {
	Page   *exposition.Page // the script's metrics; shared by all replies of one read
	Err    error            // nil, or one of the errors above (compare with errors.Is)
	Status *Status          // the script's status when the answer was given; nil with ErrUnknown
}
