package harness

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"
)

// Client is the HTTP client of Get and Ask.
var Client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}

// Page is the reply to a request.
type Page struct {
	Code   int
	Header http.Header
	Body   string
	Took   time.Duration
}

// Ask requests path, in which spaces are escaped. timeout is the value of the
// header X-Prometheus-Scrape-Timeout-Seconds; without one it is empty.
func (e *Exporter) Ask(path, timeout string) (Page, error) {
	r, err := http.NewRequest(http.MethodGet, e.URL+strings.ReplaceAll(path, " ", "%20"), nil)
	if err != nil {
		return Page{}, err
	}
	if timeout != "" {
		r.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", timeout)
	}
	begun := time.Now()
	reply, err := Client.Do(r)
	if err != nil {
		return Page{}, err
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	return Page{
		Code:   reply.StatusCode,
		Header: reply.Header,
		Body:   string(body),
		Took:   time.Since(begun),
	}, err
}

// Get is Ask; an error ends the test.
func (e *Exporter) Get(path, timeout string) Page {
	e.T.Helper()
	p, err := e.Ask(path, timeout)
	if err != nil {
		e.T.Fatal(err)
	}
	return p
}

// Post sends an empty POST and returns the status code.
func (e *Exporter) Post(path string) int {
	e.T.Helper()
	reply, err := Client.Post(e.URL+path, "", nil)
	if err != nil {
		e.T.Fatal(err)
	}
	reply.Body.Close()
	return reply.StatusCode
}

// Status is what tests read of a script's status in the API.
type Status struct {
	State               string
	Module              string
	Activity            string
	QueuePosition       int   `json:"queue_position"`
	QueueLength         int   `json:"queue_length"`
	ConsecutiveFailures int   `json:"consecutive_failures"`
	CrashLoop           bool  `json:"crash_loop"`
	OSPID               int   `json:"os_pid"`
	OSPIDs              []int `json:"os_pids"`
	Exits               map[string]int
	Output              []string
	Reason              []string
	History             []struct {
		Cause, Signal string
		Code          *int
	}
}

// Status returns the status of a script.
func (e *Exporter) Status(name string) (s Status) {
	e.T.Helper()
	p := e.Get("/api/v1/scripts/"+name, "")
	if err := json.Unmarshal([]byte(p.Body), &s); err != nil || p.Code != http.StatusOK {
		e.T.Fatalf("status of %s: %d %s: %v", name, p.Code, p.Body, err)
	}
	return s
}
