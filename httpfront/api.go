package httpfront

import (
	"bytes"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"stap-exporter/internal/cpulimit"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
)

// Paths of the status API. Its field names are a promise: fields may come, none
// goes or changes its meaning. Times are RFC 3339, durations seconds.
const apiList = "/api/v1/scripts"

var apiScripts = []byte(apiList + "/")

// apiRoute says what answers /api/v1/scripts/REST. rest belongs to the request.
// A script's name holds no slash, so what follows one is what to do with the
// script.
func (s *Server) apiRoute(rest []byte) route {
	name, action, acts := bytes.Cut(rest, []byte("/"))
	if !acts {
		return route{get: func(ctx *fasthttp.RequestCtx) { s.apiScript(ctx, name) }}
	}
	if do, ok := s.act(string(name), string(action)); ok {
		return route{post: do}
	}
	return route{get: apiNotFound, post: apiNotFound}
}

// apiScriptsReply is the answer of /api/v1/scripts.
type apiScriptsReply struct {
	Scripts []apiScript `json:"scripts"` // sorted by name
}

// apiError is every answer of the API that is not a 200.
type apiError struct {
	Error string `json:"error"`
}

// apiScript is one script, as of one moment.
type apiScript struct {
	Name string `json:"name"` // the file's name
	// path of its metrics, percent-encoded
	URL    string `json:"url"`
	Path   string `json:"path"`   // of the file
	Module string `json:"module"` // what it is loaded as
	// kernel, bpf, own (a program that chooses for itself) or auto (not known)
	Runtime string `json:"runtime"`
	// the file is a program, run as it is
	Executable bool `json:"executable"`
	// starts with the server and is never stopped by keepalive
	Autostart bool `json:"autostart"`
	// idle, starting, running, stopping, backing-off or stopped
	State string     `json:"state"`
	Since *time.Time `json:"since"` // when state was entered
	// what a starting script is doing; else empty
	Activity string `json:"activity"`
	// number of the current or last run, 0 before the first
	Run uint64 `json:"run"`
	// how often it was started since the server began
	Starts uint64 `json:"starts"`
	// process id of the child; null without one
	OSPID *int `json:"os_pid"`
	// process ids of all living processes of its group, sorted; [] when none
	OSPIDs []int `json:"os_pids"`
	// while it waits for its turn to start: where it stands, from 1; else null
	QueuePlace  *int `json:"queue_place"`
	QueueLength *int `json:"queue_length"` // and how many wait; else null
	// backing-off: when it can start again; else null
	RetryAt *time.Time `json:"retry_at"`
	// backing-off: how long it is held off in all; else null
	HoldOffSeconds *float64 `json:"hold_off_seconds"`
	// ends in a row, each before it was healthy for ten minutes
	QuickEnds int `json:"quick_ends"`
	// at least five of them: it is started every five minutes only
	CrashLoop bool `json:"crash_loop"`
	// why the last run ended and the tail of its output, by lines; empty while
	// nothing went wrong
	Reason []string `json:"reason"`
	// how long the latest start took that came to running; null before
	LastStartSeconds *float64 `json:"last_start_seconds"`
	Exits            apiExits `json:"exits"`
	LastExit         *apiExit `json:"last_exit"` // null before the first
	Reads            apiReads `json:"reads"`
	// an operator stopped it: nothing starts it but an operator, or a new
	// version of its file
	Held bool `json:"held"`
	// while an older version of the file runs: why the new one does not, by
	// lines, or "being tried"; else empty
	NewVersion []string `json:"new_version"`
	// why it is not run at all; null for a good script
	Refused *string `json:"refused"`
	// why it would be refused without --scripts.allow-insecure; null otherwise
	Insecure   *string       `json:"insecure"`
	Directives apiDirectives `json:"directives"`
}

// apiDirectives is what the script's header says; null where it says nothing.
type apiDirectives struct {
	KeepaliveSeconds      *float64    `json:"keepalive_seconds"` // 0: never stopped
	StartTimeoutSeconds   *float64    `json:"start_timeout_seconds"`
	Autostart             *bool       `json:"autostart"`
	Runtime               *string     `json:"runtime"`
	Args                  []string    `json:"args"` // [] when none
	ScrapeIntervalSeconds *float64    `json:"scrape_interval_seconds"`
	ScrapeTimeoutSeconds  *float64    `json:"scrape_timeout_seconds"`
	Metrics               []apiMetric `json:"metrics"` // [] when none
	// lines that look like directives and come too late to be one; [] when none
	LateLines []int `json:"late_lines"`
}

// apiMetric is a metric directive.
type apiMetric struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Help string `json:"help"`
}

// apiList answers with all scripts.
func (s *Server) apiList(ctx *fasthttp.RequestCtx) {
	reply := apiScriptsReply{Scripts: []apiScript{}}
	osPIDs := s.osPIDs() // which waits, so before it is this one's turn
	defer cpulimit.Acquire()()
	for _, st := range s.cfg.Scripts.Statuses() {
		reply.Scripts = append(reply.Scripts, s.apiScriptOf(st, osPIDs))
	}
	writeJSON(ctx, fasthttp.StatusOK, reply)
}

// apiScript answers with the script called name.
func (s *Server) apiScript(ctx *fasthttp.RequestCtx, name []byte) {
	for _, st := range s.cfg.Scripts.Statuses() {
		if st.Script.Name == string(name) {
			detail := apiScriptDetail{
				apiScript: s.apiScriptOf(st, s.osPIDs()),
				Output:    []string{},
				History:   historyOf(st.History),
			}
			if st.Output != nil {
				detail.Output = append(detail.Output, st.Output()...)
			}
			writeJSON(ctx, fasthttp.StatusOK, detail)
			return
		}
	}
	apiNotFound(ctx)
}

func apiNotFound(ctx *fasthttp.RequestCtx) {
	writeJSON(ctx, fasthttp.StatusNotFound, apiError{"script not found"})
}

// osPIDs looks through the processes once, for all scripts of a reply.
func (s *Server) osPIDs() func(leader int) []int {
	if s.cfg.OSPIDs == nil {
		return func(int) []int { return nil }
	}
	return s.cfg.OSPIDs()
}

func (s *Server) apiScriptOf(st *scrape.Status, osPIDs func(leader int) []int) apiScript {
	sc := &st.Script
	a := apiScript{
		Name:             sc.Name,
		URL:              "/" + url.PathEscape(sc.Name),
		Path:             sc.Path,
		Module:           sc.Module,
		Runtime:          s.runtimeOf(sc),
		Executable:       sc.Executable,
		Autostart:        sc.Autostart,
		State:            st.State.String(),
		Since:            moment(st.Since),
		Activity:         st.Activity,
		Run:              st.Run,
		Starts:           st.Run,
		OSPID:            orNull(st.OSPID),
		RetryAt:          moment(st.RetryAt),
		QueuePlace:       orNull(st.QueuePosition),
		QueueLength:      orNull(st.QueueLength),
		HoldOffSeconds:   seconds(st.Backoff),
		QuickEnds:        st.ConsecutiveFailures,
		CrashLoop:        st.CrashLoop,
		Exits:            exitsOf(st.History),
		LastExit:         lastExit(st.History),
		Reads:            readsOf(st.Reads),
		Reason:           textLines(st.Reason),
		Held:             st.Paused,
		NewVersion:       textLines(st.NewVersion),
		LastStartSeconds: seconds(st.LastStart),
		Refused:          message(sc.Refused),
		Insecure:         message(sc.Insecure),
		Directives:       directivesOf(&sc.Directives),
		OSPIDs:           []int{},
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

func directivesOf(d *script.Directives) apiDirectives {
	a := apiDirectives{
		StartTimeoutSeconds:   seconds(d.StartTimeout),
		Autostart:             d.Autostart,
		Runtime:               orNull(d.Runtime),
		Args:                  append([]string{}, d.Args...),
		ScrapeIntervalSeconds: seconds(d.ScrapeInterval),
		ScrapeTimeoutSeconds:  seconds(d.ScrapeTimeout),
		Metrics:               []apiMetric{},
		LateLines:             append([]int{}, d.LateLines...),
	}
	if d.Keepalive != nil {
		a.KeepaliveSeconds = new(d.Keepalive.Seconds())
	}
	for _, m := range d.Metrics {
		a.Metrics = append(a.Metrics, apiMetric{m.Name, m.Type, m.Help})
	}
	return a
}

// orNull is null for a value that says nothing.
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
