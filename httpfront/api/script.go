package api

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
)

// Script is one script at one moment.
type Script struct {
	Name   string `json:"name"`   // of the file
	URL    string `json:"url"`    // path of its metrics, percent-encoded
	Path   string `json:"path"`   // of the file
	Module string `json:"module"` // name of its SystemTap module
	// kernel, bpf, own (an executable that chooses for itself) or auto (not
	// known)
	Runtime    string `json:"runtime"`
	Executable bool   `json:"executable"` // the file is executed directly
	// starts with the server; keepalive never stops it
	Autostart bool `json:"autostart"`
	// idle, starting, running, stopping, backing-off or stopped
	State    string     `json:"state"`
	Since    *time.Time `json:"since"`    // when state was entered
	Activity string     `json:"activity"` // of a starting script; else empty
	// number of the current or last run, 0 before the first
	Run    uint64 `json:"run"`
	Starts uint64 `json:"starts"`  // number of starts since the server started
	OSPID  *int   `json:"os_pid"`  // process id of the child; null without one
	OSPIDs []int  `json:"os_pids"` // living processes of its group, sorted; [] when none
	// position in the start queue, from 1; null when it does not wait there
	QueuePosition *int `json:"queue_position"`
	QueueLength   *int `json:"queue_length"` // scripts in the start queue; null as above
	// backing-off: when it can start again; else null
	RetryAt *time.Time `json:"retry_at"`
	// backing-off: the whole duration of the back-off; else null
	BackoffSeconds *float64 `json:"backoff_seconds"`
	// consecutive failures for ten minutes
	ConsecutiveFailures int `json:"consecutive_failures"`
	// at least five consecutive failures: it starts every five minutes only
	CrashLoop bool `json:"crash_loop"`
	// why the last run ended and the tail of its output, as lines; empty while
	// nothing went wrong
	Reason []string `json:"reason"`
	// duration of the last start that succeeded; null before
	LastStartSeconds *float64 `json:"last_start_seconds"`
	Exits            Exits    `json:"exits"`
	LastExit         *Exit    `json:"last_exit"` // null before the first
	Reads            Reads    `json:"reads"`
	// an operator stopped it: only an operator or a new version of its file
	// starts it
	Paused bool `json:"paused"`
	// while an older version of the file runs: why the new one does not, as
	// lines, or "being validated"; else empty
	NewVersion []string `json:"new_version"`
	// why it is never run; null for a valid script
	Refused *string `json:"refused"`
	// why it would be refused without --scripts.allow-insecure; else null
	Insecure   *string    `json:"insecure"`
	Directives Directives `json:"directives"`
}

// Directives holds the directives in the script's header; null for those that
// it does not have.
type Directives struct {
	KeepaliveSeconds      *float64 `json:"keepalive_seconds"` // 0: keepalive never stops it
	StartTimeoutSeconds   *float64 `json:"start_timeout_seconds"`
	Autostart             *bool    `json:"autostart"`
	Runtime               *string  `json:"runtime"`
	Args                  []string `json:"args"` // [] when none
	ScrapeIntervalSeconds *float64 `json:"scrape_interval_seconds"`
	ScrapeTimeoutSeconds  *float64 `json:"scrape_timeout_seconds"`
	Metrics               []Metric `json:"metrics"` // [] when none
	// numbers of lines that look like directives, but come after the header; []
	// when none
	LateLines []int `json:"late_lines"`
}

// Metric is a metric directive.
type Metric struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Help string `json:"help"`
}

// NewScript returns the JSON of a script's status. runtime is the script's
// runtime. osPIDs lists the living processes in the process group of leader.
func NewScript(st *scrape.Status, runtime string, osPIDs func(leader int) []int) Script {
	sc := &st.Script
	a := Script{
		Name:                sc.Name,
		URL:                 "/" + url.PathEscape(sc.Name),
		Path:                sc.Path,
		Module:              sc.Module,
		Runtime:             runtime,
		Executable:          sc.Executable,
		Autostart:           sc.Autostart,
		State:               st.State.String(),
		Since:               moment(st.Since),
		Activity:            st.Activity,
		Run:                 st.Run,
		Starts:              st.Run,
		OSPID:               orNull(st.OSPID),
		RetryAt:             moment(st.RetryAt),
		QueuePosition:       orNull(st.QueuePosition),
		QueueLength:         orNull(st.QueueLength),
		BackoffSeconds:      seconds(st.Backoff),
		ConsecutiveFailures: st.ConsecutiveFailures,
		CrashLoop:           st.CrashLoop,
		Exits:               exitsOf(st.History),
		LastExit:            lastExit(st.History),
		Reads:               readsOf(st.Reads),
		Reason:              textLines(st.Reason),
		Paused:              st.Paused,
		NewVersion:          textLines(st.NewVersion),
		LastStartSeconds:    seconds(st.LastStart),
		Refused:             message(sc.Refused),
		Insecure:            message(sc.Insecure),
		Directives:          directivesOf(&sc.Directives),
		OSPIDs:              []int{},
	}
	if st.OSPID != 0 {
		a.OSPIDs = append(a.OSPIDs, osPIDs(st.OSPID)...)
		slices.Sort(a.OSPIDs)
	}
	return a
}

func textLines(text string) []string {
	if text = strings.TrimRight(text, "\n"); text == "" {
		return []string{}
	}
	return strings.Split(text, "\n")
}

func directivesOf(d *script.Directives) Directives {
	a := Directives{
		StartTimeoutSeconds:   seconds(d.StartTimeout),
		Autostart:             d.Autostart,
		Runtime:               orNull(d.Runtime),
		Args:                  append([]string{}, d.Args...),
		ScrapeIntervalSeconds: seconds(d.ScrapeInterval),
		ScrapeTimeoutSeconds:  seconds(d.ScrapeTimeout),
		Metrics:               []Metric{},
		LateLines:             append([]int{}, d.LateLines...),
	}
	if d.Keepalive != nil {
		a.KeepaliveSeconds = new(d.Keepalive.Seconds())
	}
	for _, m := range d.Metrics {
		a.Metrics = append(a.Metrics, Metric{m.Name, m.Type, m.Help})
	}
	return a
}

// orNull returns nil for the zero value, which JSON shows as null.
func orNull[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return new(t.UTC())
}

func seconds(d time.Duration) *float64 { return orNull(d.Seconds()) }

func message(err error) *string {
	if err == nil {
		return nil
	}
	return new(err.Error())
}
