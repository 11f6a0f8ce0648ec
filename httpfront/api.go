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

// Paths of the status API. Its field names are stable: fields may be added,
// none
// is removed or changes its meaning. Times are RFC 3339, durations seconds.
const apiList = "/api/v1/scripts"

var apiScripts = []byte(apiList + "/")

// apiRoute returns the route of /api/v1/scripts/REST. rest belongs to the
// request. A script's name has no slash; an action follows the first one.
func (s *Server) apiRoute(rest []byte) route {
	name, action, found := bytes.Cut(rest, []byte("/"))
	if !found {
		return route{get: func(ctx *fasthttp.RequestCtx) { s.apiScript(ctx, name) }}
	}
	if act, ok := s.action(string(name), string(action)); ok {
		return route{post: act}
	}
	return route{get: apiNotFound, post: apiNotFound}
}

// apiScriptsReply is the reply of /api/v1/scripts.
type apiScriptsReply struct {
	Scripts []apiScript `json:"scripts"` // sorted by name
}

// apiError is any reply of the API that is not a 200 or 202.
type apiError struct {
	Error string `json:"error"`
}

// apiScript is one script at one moment.
type apiScript struct {
	Name   string `json:"name"`   // of the file
	URL    string `json:"url"`    // path of its metrics, percent-encoded
	Path   string `json:"path"`   // of the file
	Module string `json:"module"` // name of its kernel module
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
	// ends in a row of runs that were not healthy for ten minutes
	ConsecutiveFailures int `json:"consecutive_failures"`
	// at least five consecutive failures: it starts every five minutes only
	CrashLoop bool `json:"crash_loop"`
	// why the last run ended and the tail of its output, as lines; empty while
	// nothing went wrong
	Reason []string `json:"reason"`
	// duration of the last start that succeeded; null before
	LastStartSeconds *float64 `json:"last_start_seconds"`
	Exits            apiExits `json:"exits"`
	LastExit         *apiExit `json:"last_exit"` // null before the first
	Reads            apiReads `json:"reads"`
	// an operator stopped it: only an operator or a new version of its file
	// starts it
	Paused bool `json:"paused"`
	// while an older version of the file runs: why the new one does not, as
	// lines, or "being tried"; else empty
	NewVersion []string `json:"new_version"`
	// why it is never run; null for a valid script
	Refused *string `json:"refused"`
	// why it would be refused without --script.allow-insecure; else null
	Insecure   *string       `json:"insecure"`
	Directives apiDirectives `json:"directives"`
}

// apiDirectives holds the directives in the script's header; null for those
// that it does not have.
type apiDirectives struct {
	KeepaliveSeconds      *float64    `json:"keepalive_seconds"` // 0: keepalive never stops it
	StartTimeoutSeconds   *float64    `json:"start_timeout_seconds"`
	Autostart             *bool       `json:"autostart"`
	Runtime               *string     `json:"runtime"`
	Args                  []string    `json:"args"` // [] when none
	ScrapeIntervalSeconds *float64    `json:"scrape_interval_seconds"`
	ScrapeTimeoutSeconds  *float64    `json:"scrape_timeout_seconds"`
	Metrics               []apiMetric `json:"metrics"` // [] when none
	// numbers of lines that look like directives, but come after the header; []
	// when none
	LateLines []int `json:"late_lines"`
}

// apiMetric is a metric directive.
type apiMetric struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Help string `json:"help"`
}

// apiList sends all scripts.
func (s *Server) apiList(ctx *fasthttp.RequestCtx) {
	reply := apiScriptsReply{Scripts: []apiScript{}}
	osPIDs := s.osPIDs() // may wait for a scan, so before the permit
	defer cpulimit.Acquire()()
	for _, st := range s.cfg.Scripts.Statuses() {
		reply.Scripts = append(reply.Scripts, s.apiScriptOf(st, osPIDs))
	}
	writeJSON(ctx, fasthttp.StatusOK, reply)
}

// apiScript sends the script called name.
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

// osPIDs scans the processes once, for all scripts of a reply.
func (s *Server) osPIDs() func(leader int) []int {
	if s.cfg.OSPIDs == nil {
		return func(int) []int { return nil }
	}
	return s.cfg.OSPIDs()
}

func (s *Server) apiScriptOf(st *scrape.Status, osPIDs func(leader int) []int) apiScript {
	sc := &st.Script
	a := apiScript{
		Name:                sc.Name,
		URL:                 "/" + url.PathEscape(sc.Name),
		Path:                sc.Path,
		Module:              sc.Module,
		Runtime:             s.runtimeOf(sc),
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
