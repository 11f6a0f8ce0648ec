package api

import (
	"time"

	"stap-exporter/internal/scrape"
)

// ScriptDetail is the reply of /api/v1/scripts/NAME: what the list has, and
// more.
type ScriptDetail struct {
	Script
	// the useful tail of the living child's output and standard error; []
	// without a child
	Output  []string `json:"output"`
	History []Exit   `json:"history"` // the last ends, oldest first, at most 10
}

// Exits counts ends by cause since the exporter started.
type Exits struct {
	Stopped uint64 `json:"stopped"` // by the exporter
	Ended   uint64 `json:"ended"`   // with exit code 0
	Failed  uint64 `json:"failed"`  // with another exit code
	Signal  uint64 `json:"signal"`  // by a signal
	Error   uint64 `json:"error"`   // not started, or not running in time
}

// Exit describes how one run ended.
type Exit struct {
	Time            *time.Time `json:"time"`
	Run             uint64     `json:"run"`
	Cause           string     `json:"cause"`  // stopped, ended, failed, signal or error
	Code            *int       `json:"code"`   // exit code; null when it has none
	Signal          *string    `json:"signal"` // for example SIGKILL; null when none ended it
	DurationSeconds float64    `json:"duration_seconds"`
	Ready           bool       `json:"ready"`  // it had metrics
	Output          []string   `json:"output"` // the useful tail of output and standard error
	Reason          []string   `json:"reason"` // the full explanation, as lines
}

// Reads counts the reads of the script's metrics since the exporter started.
type Reads struct {
	Total          uint64   `json:"total"`
	Failed         uint64   `json:"failed"`          // timeouts included
	Empty          uint64   `json:"empty"`           // the text was empty
	SharedRequests uint64   `json:"shared_requests"` // answered with the read of another request
	LastSeconds    *float64 `json:"last_seconds"`    // duration of the last read; null before
	// why the last read failed; null when it succeeded
	LastError       *string `json:"last_error"`
	LastTextBytes   uint64  `json:"last_text_bytes"`   // of the last text
	LastTextSamples uint64  `json:"last_text_samples"` // in the last text
	// lines dropped from all texts, because Prometheus rejects a scrape with
	// them
	LinesDropped uint64 `json:"lines_dropped"`
	// the first dropped line of the latest text that had any, with the reason
	// and the line number; null: none had
	FirstDropped *string `json:"first_dropped"`
}

// NewScriptDetail returns the JSON of a script's status with output and
// history. The parameters are those of NewScript.
func NewScriptDetail(st *scrape.Status, runtime string, osPIDs func(leader int) []int) ScriptDetail {
	d := ScriptDetail{
		Script:  NewScript(st, runtime, osPIDs),
		Output:  []string{},
		History: historyOf(st.History),
	}
	if st.Output != nil {
		d.Output = append(d.Output, st.Output()...)
	}
	return d
}

func exitsOf(h *scrape.History) Exits {
	if h == nil {
		return Exits{}
	}
	c := &h.Counts
	return Exits{
		Stopped: c[scrape.EndStopped],
		Ended:   c[scrape.EndDone],
		Failed:  c[scrape.EndFailed],
		Signal:  c[scrape.EndSignal],
		Error:   c[scrape.EndError],
	}
}

func historyOf(h *scrape.History) []Exit {
	list := []Exit{}
	if h == nil {
		return list
	}
	for i := range h.Last {
		list = append(list, exitOf(&h.Last[i]))
	}
	return list
}

func lastExit(h *scrape.History) *Exit {
	if h == nil || len(h.Last) == 0 {
		return nil
	}
	return new(exitOf(&h.Last[len(h.Last)-1]))
}

func exitOf(e *scrape.End) Exit {
	a := Exit{
		Time:            moment(e.Time),
		Run:             e.Run,
		Cause:           e.Cause.String(),
		Signal:          orNull(e.Signal),
		DurationSeconds: e.Duration.Seconds(),
		Ready:           e.Ready,
		Output:          append([]string{}, e.Output...),
		Reason:          textLines(e.Reason),
	}
	if e.Code >= 0 {
		a.Code = &e.Code
	}
	return a
}

func readsOf(r *scrape.Reads) Reads {
	if r == nil {
		return Reads{}
	}
	a := Reads{
		Total:           r.Done.Load(),
		Failed:          r.Failed.Load(),
		Empty:           r.Empty.Load(),
		SharedRequests:  r.Shared.Load(),
		LastSeconds:     seconds(time.Duration(r.Nanos.Load())),
		LastError:       r.Problem.Load(),
		LastTextBytes:   r.Bytes.Load(),
		LastTextSamples: r.Samples.Load(),
		LinesDropped:    r.Dropped.Load(),
	}
	if first := r.FirstDropped.Load(); first != nil {
		a.FirstDropped = new(first.String())
	}
	return a
}
