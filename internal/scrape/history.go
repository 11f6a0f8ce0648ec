package scrape

import "time"

// MaxEnds is how many ends History keeps in detail.
const MaxEnds = 10

// EndCause is what ended a run. Its name is a label of the metrics and a field
// of the API.
type EndCause uint8

// The causes of an end.
const (
	EndStopped EndCause = iota // the exporter stopped it
	EndDone                    // exit code 0
	EndFailed                  // another exit code
	EndSignal                  // a signal
	EndError                   // it could not be started, or was not ready in time

	EndCauses // their number
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
	Code     int           // exit code; -1 without one
	Signal   string        // for example "SIGKILL"; empty without one
	Duration time.Duration // since the start of the run
	Ready    bool          // the run reached Running
	Output   []string      // the useful tail of the child's output
	Reason   string        // all that is known, several lines
}

// History is how a script's runs ended since the exporter started. It is
// immutable once published.
type History struct {
	Counts [EndCauses]uint64
	Last   []End // the oldest first, at most MaxEnds
}

// With returns the history with one more end. h may be nil: an empty history.
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
