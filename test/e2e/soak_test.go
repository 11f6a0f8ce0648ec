package e2e

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stap-exporter/test/harness"
)

// A longer soak:
//
//	go test ./test/e2e -run Soak -v -soak 5m -soak.clients 600
var (
	soakTime    = flag.Duration("soak", 10*time.Second, "how long TestSoak sends requests")
	soakClients = flag.Int("soak.clients", 12, "how many clients request its faulty script")
)

// A soaker requests a page back to back, in one of the formats, and checks
// every reply 200 against what the stand-in writes.
type soaker struct {
	url         string
	openMetrics bool
	gzip        bool
	client      *http.Client
	// the highest text number in a reply, shared by the clients of a script
	newest  *atomic.Int64
	script  string      // on the page of all scripts: whose samples; else empty
	replies map[int]int // by status code
}

// ask sends one request. wrong is what is wrong with a reply 200.
func (s *soaker) ask() (code int, wrong string) {
	r, err := http.NewRequest(http.MethodGet, s.url, nil)
	if err != nil {
		return 0, err.Error()
	}
	contentType := "text/plain; version=0.0.4; charset=utf-8"
	if s.openMetrics {
		r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0,text/plain;version=0.0.4;q=0.5")
		contentType = "application/openmetrics-text; version=1.0.0; charset=utf-8"
	}
	r.Header.Set("Accept-Encoding", "identity")
	if s.gzip {
		r.Header.Set("Accept-Encoding", "gzip")
	}
	before := s.newest.Load()
	reply, err := s.client.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err == nil && reply.Header.Get("Content-Encoding") == "gzip" {
		body, err = harness.Gunzip(body)
	}
	switch {
	case err != nil:
		return reply.StatusCode, err.Error()
	case reply.StatusCode != http.StatusOK:
		return reply.StatusCode, ""
	case reply.Header.Get("Content-Type") != contentType:
		return reply.StatusCode, "content type " + reply.Header.Get("Content-Type")
	case s.openMetrics && !bytes.HasSuffix(body, []byte("\n# EOF\n")):
		return reply.StatusCode, fmt.Sprintf("no EOF: %q", body)
	}
	samples, err := harness.ParseSamples(body, s.script)
	if err != nil {
		return reply.StatusCode, fmt.Sprintf("%v: %q", err, body)
	}
	n, wrong := harness.TextNumber(samples)
	switch {
	case wrong != "":
		return reply.StatusCode, fmt.Sprintf("%s: %q", wrong, body)
	case int64(n) <= before:
		return reply.StatusCode, fmt.Sprintf("text %d, but text %d existed before the request", n, before)
	}
	harness.Raise(s.newest, int64(n))
	return reply.StatusCode, ""
}

// Clients of all kinds request faulty scripts back to back. No reply 200 is
// empty, truncated, doubled, stale or invalid.
//
// The faults of the first script leave all samples in the text: every reply
// must be a 200. Those of the second do not: texts without a valid sample, and
// an end in the middle of a text.
func TestSoak(t *testing.T) {
	e := harness.Start(t, harness.ScriptDir(t, map[string]string{
		// After a last line without newline the exporter waits a moment in case
		// the script has ended. Few of those, so that there are more replies.
		"faulty.stp": harness.StandInScript(
			strings.Repeat("good empty doubled corrupt scattered crlf escaped ", 20) + harness.HarmlessFaults,
		),
		"dying.stp": harness.StandInScript(
			"good invalid truncated good empty invalid " + strings.Repeat("good corrupt full ", 20) + "dies",
		),
	}))
	if p := e.Get("/faulty.stp", "60"); p.Code != 200 {
		t.Fatalf("%d %s", p.Code, p.Body)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: *soakClients + 8, DisableCompression: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	var faulty, dying atomic.Int64
	var soakers []*soaker
	add := func(path, script string, newest *atomic.Int64, clients int) {
		for range clients {
			i := len(soakers)
			soakers = append(soakers, &soaker{
				url:         e.URL + path,
				openMetrics: i%2 == 1,
				gzip:        i%4 > 1,
				client:      client,
				newest:      newest,
				script:      script,
				replies:     map[int]int{},
			})
		}
	}
	add("/faulty.stp", "", &faulty, *soakClients)
	add("/all?name[]=faulty.stp", "faulty.stp", &faulty, 2)
	add("/dying.stp", "", &dying, 4)

	var clients sync.WaitGroup
	end := time.Now().Add(*soakTime)
	for _, s := range soakers {
		clients.Go(func() {
			for time.Now().Before(end) {
				code, wrong := s.ask()
				s.replies[code]++
				if wrong != "" || code != http.StatusOK && s.newest == &faulty {
					t.Errorf("%s: %d %s", s.url, code, wrong)
					return
				}
				if code == http.StatusServiceUnavailable {
					time.Sleep(20 * time.Millisecond) // Retry-After
				}
			}
		})
	}
	clients.Wait()

	total := map[string]map[int]int{}
	for _, s := range soakers {
		_, path, _ := strings.Cut(s.url, e.URL)
		if total[path] == nil {
			total[path] = map[int]int{}
		}
		for code, n := range s.replies {
			total[path][code] += n
		}
	}
	checked := total["/faulty.stp"][200] + total["/all?name[]=faulty.stp"][200] + total["/dying.stp"][200]
	t.Logf("checked %d replies 200; all replies by path and code: %v", checked, total)
	if d := total["/dying.stp"]; d[200] == 0 || d[502] == 0 || d[503] == 0 {
		t.Errorf("replies for the dying script lack a code: %v", d)
	}
	var status struct{ Starts int }
	if err := json.Unmarshal(
		[]byte(e.Get("/api/v1/scripts/dying.stp", "").Body),
		&status,
	); err != nil ||
		status.Starts < 2 {
		t.Errorf("starts of the dying script: %d, %v", status.Starts, err)
	}
}
