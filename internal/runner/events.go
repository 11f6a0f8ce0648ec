package runner

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"stap-exporter/internal/procfile"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/toolchain"
)

// Event is what a Run reports: Progress, Ready or Exited.
type Event interface {
	// RunNumber is the number that Start was given.
	RunNumber() uint64
}

// Progress tells what a starting script is doing. Several in quick succession
// may be reported as the last of them.
type Progress struct {
	Run       uint64
	OSPID     int
	Activity  string // a few words: "pass 4: compile the module"
	Position  int    // while it waits for its turn to start: where it stands, from 1; else 0
	Length    int    // and how many wait
	Compiling bool
	// the useful tail of what the child has written so far; any goroutine may
	// call it; nil without a child
	Output func() []string
}

// Ready tells that the script's procfs file is there.
type Ready struct {
	Run   uint64
	OSPID int
	File  procfile.File
	// tells whether who writes the file is still there and not about to end;
	// any goroutine may call it
	Alive func() bool
	// the start had to compile; false: it loaded a module out of the cache,
	// which takes a fraction of the time
	Compiled bool
	Output   func() []string // as in Progress
	Queued   time.Duration   // how long it waited for its turn before that
}

// Exited is a run's last event.
type Exited struct {
	Run  uint64
	Exit Exit
}

// RunNumber returns Run.
func (p Progress) RunNumber() uint64 { return p.Run }

// RunNumber returns Run.
func (r Ready) RunNumber() uint64 { return r.Run }

// RunNumber returns Run.
func (e Exited) RunNumber() uint64 { return e.Run }

// Exit is how a run ended.
type Exit struct {
	Stopped bool            // Stop or Kill asked for it
	Ready   bool            // it had become ready
	Code    int             // exit code; -1 when a signal ended it or it never started
	Signal  syscall.Signal  // the signal that ended it; 0: none
	Stage   toolchain.Stage // where it was
	// why it could not be started, or was stopped by the run itself (start
	// timeout)
	Err     error
	Tail    []string // useful tail of its output
	Remedy  string   // what to do, for failures that are known; else empty
	Residue []string // what could not be removed, by name; empty: nothing is left
}

var gerunds = map[toolchain.Stage]string{
	toolchain.StageStart:   "starting",
	toolchain.StageCompile: "compiling",
	toolchain.StageLoad:    "loading",
	toolchain.StageRun:     "running",
}

// String is one line: how the run ended.
func (e Exit) String() string {
	var how string
	switch {
	case e.Err != nil:
		return e.Err.Error()
	case e.Signal != 0:
		how = "ended by " + unix.SignalName(e.Signal)
	default:
		how = fmt.Sprintf("exit code %d", e.Code)
	}
	if e.Stopped && e.Code < 0 && e.Signal == 0 {
		return "stopped before it started"
	}
	if e.Stopped {
		return "stopped, " + how
	}
	return how + " while " + gerunds[e.Stage]
}

// EndCause is how the run ended, in one word.
func (e Exit) EndCause() scrape.EndCause {
	switch {
	case e.Stopped:
		return scrape.EndStopped
	case e.Err != nil:
		return scrape.EndError
	case e.Signal != 0:
		return scrape.EndSignal
	case e.Code == 0:
		return scrape.EndDone
	default:
		return scrape.EndFailed
	}
}

// Reason is String, then what to do about it, what was left behind, and the
// useful tail of the output, a line each.
func (e Exit) Reason() string {
	lines := []string{e.String()}
	if e.Remedy != "" {
		lines = append(lines, "what to do: "+e.Remedy)
	}
	for _, l := range e.Residue {
		lines = append(lines, "left behind: "+l)
	}
	return strings.Join(append(lines, e.Tail...), "\n")
}
