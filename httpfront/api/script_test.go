package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"testing"
	"time"

	"stap-exporter/internal/exposition"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
	"stap-exporter/internal/trust"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// fullStatus has a value for every field.
func fullStatus() *scrape.Status {
	var history *scrape.History
	history = history.With(scrape.End{
		Time:   now.Add(-time.Minute),
		Run:    2,
		Cause:  scrape.EndSignal,
		Code:   -1,
		Signal: "SIGKILL",
	})
	history = history.With(scrape.End{
		Time:     now,
		Run:      3,
		Cause:    scrape.EndFailed,
		Code:     1,
		Duration: 1500 * time.Millisecond,
		Ready:    true,
		Output:   []string{"Pass 2: analysis failed."},
		Reason:   "exit code 1\nPass 2: analysis failed.\n",
	})
	reads := new(scrape.Reads)
	reads.Done.Store(9)
	reads.Failed.Store(2)
	reads.Empty.Store(1)
	reads.Shared.Store(4)
	reads.Nanos.Store(2e6)
	reads.Bytes.Store(100)
	reads.Samples.Store(5)
	reads.Problem.Store(new("permission denied"))
	reads.Dropped.Store(6)
	reads.FirstDropped.Store(exposition.Sanitize([]byte("good 1\nbad x\n"), exposition.Options{}).First)
	return &scrape.Status{
		Script: script.Script{
			Name:      "100% <ü>.stp",
			Path:      "/etc/stap-exporter/100% <ü>.stp",
			Module:    "stap_exporter_x",
			Runtime:   "bpf",
			Autostart: true,
			Insecure:  errors.New("can be written by all"),
			Directives: script.Directives{
				Keepalive:      new(time.Duration),
				StartTimeout:   2 * time.Minute,
				Autostart:      new(true),
				Runtime:        "bpf",
				Args:           []string{"-g"},
				ScrapeInterval: time.Minute,
				ScrapeTimeout:  500 * time.Millisecond,
				Metrics:        []script.Metric{{Name: "reads_total", Type: "counter", Help: "Read calls."}},
				LateLines:      []int{12},
			},
		},
		State:               scrape.BackingOff,
		Since:               now.Add(-65 * time.Second).In(time.FixedZone("elsewhere", 3600)),
		RetryAt:             now.Add(30500 * time.Millisecond),
		Reason:              "exit code 1\nPass 2: analysis failed.\n",
		LastStart:           250 * time.Millisecond,
		Run:                 3,
		OSPID:               4711,
		QueuePosition:       3,
		QueueLength:         7,
		Backoff:             5 * time.Minute,
		ConsecutiveFailures: 6,
		CrashLoop:           true,
		History:             history,
		Reads:               reads,
		Output:              func() []string { return []string{"WARNING: x"} },
	}
}

// The files in testdata have every field of the API. A change breaks clients.
func TestJSON(t *testing.T) {
	osPIDs := func(leader int) []int { return map[int][]int{4711: {10002, 4711}, 0: {1}}[leader] }
	refused := &scrape.Status{Script: script.Script{Name: "a.stp", Refused: trust.ErrUntrusted}}
	for file, reply := range map[string]any{
		"testdata/detail.json": NewScriptDetail(fullStatus(), "bpf", osPIDs),
		"testdata/list.json":   ScriptList{[]Script{NewScript(refused, "auto", osPIDs)}},
	} {
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		enc := json.NewEncoder(&got)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(reply); err != nil {
			t.Fatal(err)
		}
		if got.String() != string(want) {
			t.Errorf("%s: got\n%s", file, got.String())
		}
	}
}
