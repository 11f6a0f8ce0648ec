package scrape

import (
	"sync/atomic"
	"time"

	"stap-exporter/internal/exposition"
)

// KeptEnds is how many ends of a script are remembered one by one.
const MaxEnds = 10

// EndCause is what ended a run, in the words of the metrics and the API.
type EndCause uint8

// The causes of an end.
const (
	EndStopped EndCause = iota // the exporter stopped it
	EndDone                    // exit code 0
	EndFailed                  // another exit code
	EndSignal                  // a signal
	EndError                   // it could not be started, or was not up in time

	EndCauses // how many there are
)

var endNames = [EndCauses]string{"stopped", "ended", "failed", "signal", "error"}

// String returns the cause's name.
func (c EndCause) String() string {
	if c < EndCauses {
		return endNames[c]
	}
	return "unknown"
}

// End is how one run ended.
type End struct {
	Time     time.Time
	Run      uint64
	Cause    EndCause
	Code     int           // exit code; -1: it has none
	Signal   string        // "SIGKILL"; empty: none
	Duration time.Duration // from its start
	Ready    bool          // its metrics were there
	Output   []string      // the useful tail of what it wrote
	Reason   string        // all there is to say, several lines
}

// History is how a script's runs ended since the exporter began. It is
// immutable once published.
type History struct {
	Counts [EndCauses]uint64
	Last   []End // the oldest first, at most KeptEnds
}

// With returns the history with one more end. h may be nil, which is none.
func (h *History) With(e End) *History {
	next := &History{}
	if h != nil {
		next.Counts = h.Counts
		next.Last = append(next.Last, h.Last[max(0, len(h.Last)+1-MaxEnds):]...)
	}
	next.Counts[e.Cause]++
	next.Last = append(next.Last, e)
	return next
}

// Reads counts the reads of one script's metrics. It is counted in the script
// actor's goroutine, and read by anybody.
type Reads struct {
	Done    atomic.Uint64          // ended, in whatever way
	Failed  atomic.Uint64          // of them, failed or took too long
	Empty   atomic.Uint64          // of them, stayed empty
	Shared  atomic.Uint64          // requests that were answered with the read of another one
	Bytes   atomic.Uint64          // of the last text
	Samples atomic.Uint64          // in it
	Nanos   atomic.Int64           // that the last read took
	Problem atomic.Pointer[string] // why the last one gave nothing; nil when it did
	Dropped atomic.Uint64          // lines that were left out, of all texts

	// the first line left out of the latest text that had such lines; nil: none
	// had
	FirstDropped atomic.Pointer[exposition.Problem]
}
