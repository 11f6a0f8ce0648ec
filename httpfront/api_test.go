package httpfront

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
	"stap-exporter/internal/trust"
)

// Every field of the API. A change here breaks its clients.
const wantScript = `{
  "name": "100% <ü>.stp",
  "url": "/100%25%20%3C%C3%BC%3E.stp",
  "path": "/etc/stap-exporter/100% <ü>.stp",
  "module": "stap_exporter_x",
  "runtime": "bpf",
  "executable": false,
  "autostart": true,
  "state": "backing-off",
  "since": "2026-03-01T11:58:55Z",
  "activity": "",
  "run": 3,
  "starts": 3,
  "os_pid": 4711,
  "os_pids": [
    4711,
    10002
  ],
  "queue_position": 3,
  "queue_length": 7,
  "retry_at": "2026-03-01T12:00:30.5Z",
  "backoff_seconds": 300,
  "consecutive_failures": 6,
  "crash_loop": true,
  "reason": [
    "exit code 1",
    "Pass 2: analysis failed."
  ],
  "last_start_seconds": 0.25,
  "exits": {
    "stopped": 0,
    "ended": 0,
    "failed": 1,
    "signal": 1,
    "error": 0
  },
  "last_exit": {
    "time": "2026-03-01T12:00:00Z",
    "run": 3,
    "cause": "failed",
    "code": 1,
    "signal": null,
    "duration_seconds": 1.5,
    "ready": true,
    "output": [
      "Pass 2: analysis failed."
    ],
    "reason": [
      "exit code 1",
      "Pass 2: analysis failed."
    ]
  },
  "reads": {
    "total": 9,
    "failed": 2,
    "empty": 1,
    "shared_requests": 4,
    "last_seconds": 0.002,
    "last_error": "permission denied",
    "last_text_bytes": 100,
    "last_text_samples": 5,
    "lines_dropped": 6,
    "first_dropped": "bad-value in line 2: \"bad x\""
  },
  "paused": false,
  "new_version": [],
  "refused": null,
  "insecure": "can be written by all",
  "directives": {
    "keepalive_seconds": 0,
    "start_timeout_seconds": 120,
    "autostart": true,
    "runtime": "bpf",
    "args": [
      "-g"
    ],
    "scrape_interval_seconds": 60,
    "scrape_timeout_seconds": 0.5,
    "metrics": [
      {
        "name": "reads_total",
        "type": "counter",
        "help": "Read calls."
      }
    ],
    "late_lines": [
      12
    ]
  },
  "output": [
    "WARNING: x"
  ],
  "history": [
    {
      "time": "2026-03-01T11:59:00Z",
      "run": 2,
      "cause": "signal",
      "code": null,
      "signal": "SIGKILL",
      "duration_seconds": 0,
      "ready": false,
      "output": [],
      "reason": []
    },
    {
      "time": "2026-03-01T12:00:00Z",
      "run": 3,
      "cause": "failed",
      "code": 1,
      "signal": null,
      "duration_seconds": 1.5,
      "ready": true,
      "output": [
        "Pass 2: analysis failed."
      ],
      "reason": [
        "exit code 1",
        "Pass 2: analysis failed."
      ]
    }
  ]
}
`

const wantPlain = `{
  "scripts": [
    {
      "name": "a.stp",
      "url": "/a.stp",
      "path": "",
      "module": "",
      "runtime": "auto",
      "executable": false,
      "autostart": false,
      "state": "idle",
      "since": null,
      "activity": "",
      "run": 0,
      "starts": 0,
      "os_pid": null,
      "os_pids": [],
      "queue_position": null,
      "queue_length": null,
      "retry_at": null,
      "backoff_seconds": null,
      "consecutive_failures": 0,
      "crash_loop": false,
      "reason": [],
      "last_start_seconds": null,
      "exits": {
        "stopped": 0,
        "ended": 0,
        "failed": 0,
        "signal": 0,
        "error": 0
      },
      "last_exit": null,
      "reads": {
        "total": 0,
        "failed": 0,
        "empty": 0,
        "shared_requests": 0,
        "last_seconds": null,
        "last_error": null,
        "last_text_bytes": 0,
        "last_text_samples": 0,
        "lines_dropped": 0,
        "first_dropped": null
      },
      "paused": false,
      "new_version": [],
      "refused": "not safe to run",
      "insecure": null,
      "directives": {
        "keepalive_seconds": null,
        "start_timeout_seconds": null,
        "autostart": null,
        "runtime": null,
        "args": [],
        "scrape_interval_seconds": null,
        "scrape_timeout_seconds": null,
        "metrics": [],
        "late_lines": []
      }
    }
  ]
}
`

func TestStatusAPI(t *testing.T) {
	var history *scrape.History
	history = history.With(scrape.End{
		Time:   testTime.Add(-time.Minute),
		Run:    2,
		Cause:  scrape.EndSignal,
		Code:   -1,
		Signal: "SIGKILL",
	})
	history = history.With(scrape.End{
		Time:     testTime,
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
	reads.FirstDropped.Store(pageOf("good 1\nbad x\n").First)
	scripts := &fakeScripts{statuses: []*scrape.Status{{
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
		Since:               testTime.Add(-65 * time.Second).In(time.FixedZone("elsewhere", 3600)),
		RetryAt:             testTime.Add(30500 * time.Millisecond),
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
	}}}
	s, addr := start(t, scripts, nil)
	s.cfg.OSPIDs = func() func(int) []int {
		return func(leader int) []int { return map[int][]int{4711: {10002, 4711}, 0: {1}}[leader] }
	}
	check := func(target string, code int, body string) {
		t.Helper()
		got := get(t, addr, "GET", target)
		if got.code != code || got.body != body || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s\n%s", target, got.code, got.header.Get("Content-Type"), got.body)
		}
		checkCommonHeaders(t, got)
	}
	check("/api/v1/scripts/100%25%20%3C%C3%BC%3E.stp?x=y", 200, wantScript)
	for _, unknown := range []string{
		"/api/v1/scripts/",
		"/api/v1/scripts/none.stp",
		"/api/v1/scripts/100%25%20%3C%C3%BC%3E.stp/none",
		"/api/v1/scripts/a%2Fb",
	} {
		check(unknown, 404, "{\n  \"error\": \"script not found\"\n}\n")
	}
	var list apiScriptsReply
	got := get(t, addr, "GET", "/api/v1/scripts")
	if json.Unmarshal([]byte(got.body), &list) != nil || len(list.Scripts) != 1 ||
		list.Scripts[0].Name != "100% <ü>.stp" {
		t.Errorf("%s", got.body)
	}
	for _, target := range []string{"/api/v1/scripts", "/api/v1/scripts/a.stp", "/sd", "/-/ready"} {
		if got := get(t, addr, "POST", target); got.code != 405 || got.header.Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s: %d, Allow %q", target, got.code, got.header.Get("Allow"))
		}
	}
	head := get(t, addr, "HEAD", "/api/v1/scripts/100%25%20%3C%C3%BC%3E.stp")
	if head.code != 200 || head.body != "" || head.length != int64(len(wantScript)) {
		t.Errorf("HEAD: %d, %d of %d bytes", head.code, head.length, len(wantScript))
	}

	scripts.statuses = []*scrape.Status{{Script: script.Script{Name: "a.stp", Refused: trust.ErrUntrusted}}}
	check("/api/v1/scripts", 200, wantPlain)
	scripts.statuses = nil
	check("/api/v1/scripts", 200, "{\n  \"scripts\": []\n}\n")
	if len(scripts.requested()) > 0 {
		t.Errorf("the API requested %q", scripts.requested())
	}
}

func TestRouteMethods(t *testing.T) {
	none := func(*fasthttp.RequestCtx) {}
	for allow, r := range map[string]route{
		"GET, HEAD":       {get: none},
		"POST":            {post: none},
		"GET, HEAD, POST": {get: none, post: none},
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT"} {
			ctx := newRequest("/", "")
			ctx.Request.Header.SetMethod(method)
			r.serve(ctx)
			got := string(ctx.Response.Header.Peek("Allow"))
			if strings.Contains(allow, method) && ctx.Response.StatusCode() != 200 ||
				!strings.Contains(allow, method) && (ctx.Response.StatusCode() != 405 || got != allow) {
				t.Errorf("%s on %s: %d, Allow %q", method, allow, ctx.Response.StatusCode(), got)
			}
		}
	}
}

func TestReady(t *testing.T) {
	auto := func(state scrape.State, run uint64) *scrape.Status {
		return status(state, func(st *scrape.Status) { st.Script.Autostart, st.Run = true, run })
	}
	for name, c := range map[string]struct {
		statuses []*scrape.Status
		code     int
	}{
		"no scripts": {nil, 200},
		"on demand": {
			[]*scrape.Status{
				status(scrape.Idle, nil),
				status(scrape.Starting, func(st *scrape.Status) { st.Run = 1 }),
			},
			200,
		},
		"not started":        {[]*scrape.Status{auto(scrape.Idle, 0)}, 503},
		"first start":        {[]*scrape.Status{auto(scrape.Running, 1), auto(scrape.Starting, 1)}, 503},
		"runs":               {[]*scrape.Status{auto(scrape.Running, 1)}, 200},
		"failed once":        {[]*scrape.Status{auto(scrape.BackingOff, 1)}, 200},
		"starts again":       {[]*scrape.Status{auto(scrape.Starting, 2)}, 200},
		"stopped by request": {[]*scrape.Status{auto(scrape.Stopping, 1), auto(scrape.Idle, 1)}, 200},
		"shutting down":      {[]*scrape.Status{auto(scrape.Running, 1), status(scrape.Stopped, nil)}, 503},
	} {
		_, addr := start(t, &fakeScripts{statuses: c.statuses}, nil)
		got := get(t, addr, "GET", "/-/ready")
		if got.code != c.code || got.header.Get("Content-Type") != plainText || strings.Contains(got.body, ".stp") {
			t.Errorf("%s: %d %q", name, got.code, got.body)
		}
	}
}
