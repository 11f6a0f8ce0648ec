package runner

import (
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"stap-exporter/internal/scrape"
	"stap-exporter/internal/toolchain"
)

// Exit is how a run ended.
type Exit struct {
	Stopped bool            // by Stop or Kill
	Ready   bool            // it had become ready
	Code    int             // exit code; -1 when a signal ended it or it never started
	Signal  syscall.Signal  // the signal that ended it; 0: none
	Stage   toolchain.Stage // in which it ended
	// why it could not be started, or was ended by the run itself (start
	// timeout)
	Err     error
	Tail    []string // useful tail of its output
	Remedy  string   // for a known failure; else empty
	Residue []string // what could not be removed, by name
}

var gerunds = map[toolchain.Stage]string{
	toolchain.StageStart:   "starting",
	toolchain.StageCompile: "compiling",
	toolchain.StageLoad:    "loading",
	toolchain.StageRun:     "running",
}

// String describes in one line how the run ended.
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

// EndCause returns how the run ended, in one word.
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

// Reason returns String, then the remedy, the residue, and the useful tail of
// the output, a line each.
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
