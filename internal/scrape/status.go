package scrape

import (
	"time"

	"stap-exporter/internal/script"
)

// State is the state of a script. Package actors has the table of transitions.
type State uint8

// The states of a script. Exactly one holds at any time.
const (
	Idle       State = iota // no child process; a request starts one
	Starting                // the child compiles or loads; its procfs file does not exist yet
	Running                 // the procfs file exists and is read on request
	Stopping                // the child was told to end and has not ended yet
	BackingOff              // the child failed or ended; nothing starts before Status.RetryAt
	// Stopped is final: the server is shutting down, or the script's file is
	// gone, and the child has ended.
	Stopped
)

var stateNames = [...]string{"idle", "starting", "running", "stopping", "backing-off", "stopped"}

// String returns the state's name, as in the API, the log and the metrics.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "unknown"
}

// Status is a snapshot of one script. Its actor publishes one at every change.
// It is immutable once published.
type Status struct {
	Script script.Script
	State  State
	Since  time.Time // when State was entered
	// Activity is what a starting script is doing ("pass 4: compile the
	// module"); else empty.
	Activity string
	// QueuePosition, from 1, is the position of a starting script that waits in
	// the queue of starts, and QueueLength how many wait there; else 0.
	QueuePosition int
	QueueLength   int
	RetryAt       time.Time // BackingOff: the earliest time of the next start; else zero
	// Reason is why the last run ended, with the useful tail of its output:
	// several lines. It is empty while nothing went wrong.
	Reason string
	// LastStart is how long the latest start took that reached Running; 0
	// before the first.
	LastStart time.Duration
	Compiling bool // Starting: the script is being compiled
	// LastCompile is LastStart of the latest start that compiled; 0 before the
	// first.
	LastCompile time.Duration
	Run         uint64 // counts the starts of this script, from 1; 0 before the first
	// Reads and Requests are shared by all statuses of the script, and never
	// nil in a published one.
	Reads    *Reads
	Requests *Requests
	// Paused: an operator stopped the script. Only an operator or a new version
	// of its file starts it again.
	Paused bool
	OSPID  int // process id of the child; 0 without one
	// Output returns the useful tail of what the child has written so far. It
	// may be called from any goroutine; nil without a child.
	Output func() []string
	// Backoff is the full length of the current back-off; else 0.
	Backoff time.Duration
	// ConsecutiveFailures counts the runs that ended before they were healthy
	// for long, since the last one that was.
	ConsecutiveFailures int
	// CrashLoop: there were so many consecutive failures that each back-off is
	// the longest, until a run is healthy for long, the file changes, or an
	// operator starts the script.
	CrashLoop bool
	// ActorFailed: the script's actor had too many bugs in a short time. Until
	// RetryAt requests get ErrInternal with Reason.
	ActorFailed bool
	History     *History // how its runs ended; nil before the first end
	// NewVersion is set while an older version of the file runs: why the new
	// one does not, "being validated" or the reason of its refusal (several lines).
	NewVersion string
}

// Count counts a request for the script that was answered with the HTTP status
// code. A nil status counts nothing.
func (s *Status) Count(code int) {
	if s != nil {
		s.Requests.Count(code)
	}
}
