package httpfront

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
	"stap-exporter/internal/trust"
)

// status returns a status of "a.stp" that began 65 s before testTime.
func status(state scrape.State, change func(*scrape.Status)) *scrape.Status {
	st := &scrape.Status{Script: script.Script{Name: "a.stp"}, State: state, Since: testTime.Add(-65 * time.Second)}
	if change != nil {
		change(st)
	}
	return st
}

var outcomes = map[string]struct {
	answer     scrape.Answer
	code       int
	retryAfter string
	begin      string   // of the plain body
	contains   []string // parts of the plain body
	page       bool     // a browser gets HTML
}{
	"metrics": {
		answer: scrape.Answer{Page: pageOf("count 1\n"), Status: status(scrape.Running, nil)},
		code:   200, begin: "count 1\n",
	},
	"no valid sample": {
		answer: scrape.Answer{
			Err:    fmt.Errorf("%w: bad-value in line 1: \"x y\"", scrape.ErrNoValidSamples),
			Status: status(scrape.Running, nil),
		},
		code:  502,
		begin: "a.stp: " + scrape.ErrNoValidSamples.Error() + ": bad-value in line 1: \"x y\"\n",
	},
	"unknown": {
		answer:   scrape.Answer{Err: scrape.ErrUnknown},
		code:     404,
		begin:    "script not found\n",
		contains: []string{"The list of scripts is at /\n"},
	},
	"idle": {
		answer:     scrape.Answer{Err: scrape.ErrNotRunning, Status: status(scrape.Idle, nil)},
		code:       503,
		retryAfter: "10",
		begin:      "Refresh page to access metrics.",
		contains:   []string{"a.stp is about to start\n"},
		page:       true,
	},
	"starting": {
		answer: scrape.Answer{Err: scrape.ErrNotRunning, Status: status(scrape.Starting, func(st *scrape.Status) {
			st.Activity = "pass 4: compile the module"
		})},
		code:       503,
		retryAfter: "10",
		begin:      "Refresh page to access metrics.",
		contains:   []string{"a.stp has been starting for 1 min 5 s: pass 4: compile the module\n"},
		page:       true,
	},
	"starting after a failure": {
		answer: scrape.Answer{Err: scrape.ErrNotRunning, Status: status(scrape.Starting, func(st *scrape.Status) {
			st.Reason = "exit code 1\nparse error <here>\n"
		})},
		code:       503,
		retryAfter: "10",
		begin:      "Refresh page to access metrics.",
		contains:   []string{"Its last run: exit code 1\nparse error"},
		page:       true,
	},
	"starting, as long as last time": {
		answer: scrape.Answer{
			Err:    scrape.ErrNotRunning,
			Status: status(scrape.Starting, func(st *scrape.Status) { st.LastStart = 95 * time.Second }),
		},
		code:       503,
		retryAfter: "30",
		begin:      "Refresh page to access metrics.",
		contains:   []string{"Its last start took 1 min 35 s\n"},
		page:       true,
	},
	"starting, longer than last time": {
		answer: scrape.Answer{
			Err:    scrape.ErrNotRunning,
			Status: status(scrape.Starting, func(st *scrape.Status) { st.LastStart = 30 * time.Second }),
		},
		code:       503,
		retryAfter: "1",
		begin:      "Refresh page to access metrics.",
		page:       true,
	},
	"idle, started before": {
		answer: scrape.Answer{
			Err:    scrape.ErrNotRunning,
			Status: status(scrape.Idle, func(st *scrape.Status) { st.LastStart = 300 * time.Millisecond }),
		},
		code:       503,
		retryAfter: "1",
		begin:      "Refresh page to access metrics.",
		page:       true,
	},
	"in the queue, started before": {
		answer: scrape.Answer{Err: scrape.ErrNotRunning, Status: status(scrape.Starting, func(st *scrape.Status) {
			st.Activity = "position 3 of 7 in the queue"
			st.QueuePosition, st.QueueLength, st.LastStart = 3, 7, 300*time.Millisecond
		})},
		code:       503,
		retryAfter: "10",
		begin:      "Refresh page to access metrics.",
		contains:   []string{"a.stp has been starting for 1 min 5 s: position 3 of 7 in the queue\n"},
		page:       true,
	},
	"compiling, after a start from the cache": {
		answer: scrape.Answer{Err: scrape.ErrNotRunning, Status: status(scrape.Starting, func(st *scrape.Status) {
			st.Compiling, st.LastStart, st.LastCompile = true, 300*time.Millisecond, 95*time.Second
		})},
		code:       503,
		retryAfter: "30",
		begin:      "Refresh page to access metrics.",
		page:       true,
	},
	"compiling for the first time": {
		answer: scrape.Answer{
			Err: scrape.ErrNotRunning,
			Status: status(
				scrape.Starting,
				func(st *scrape.Status) { st.Compiling, st.LastStart = true, 300*time.Millisecond },
			),
		},
		code:       503,
		retryAfter: "10",
		begin:      "Refresh page to access metrics.",
		page:       true,
	},
	"stopping": {
		answer:     scrape.Answer{Err: scrape.ErrNotRunning, Status: status(scrape.Stopping, nil)},
		code:       503,
		retryAfter: "10",
		begin:      "Refresh page to access metrics.",
		contains:   []string{"a.stp has been stopping for 1 min 5 s and starts again after that\n"},
		page:       true,
	},
	"ready at the deadline": {
		answer:     scrape.Answer{Err: scrape.ErrNotRunning, Status: status(scrape.Running, nil)},
		code:       503,
		retryAfter: "10",
		begin:      "Refresh page to access metrics.",
		contains:   []string{"a.stp is running now\n"},
		page:       true,
	},
	"not running, without status": {
		answer: scrape.Answer{Err: scrape.ErrNotRunning},
		code:   503, retryAfter: "10", begin: "Refresh page to access metrics.", page: true,
	},
	"backing off": {
		answer: scrape.Answer{Err: scrape.ErrBackingOff, Status: status(scrape.BackingOff, func(st *scrape.Status) {
			st.RetryAt = testTime.Add(39*time.Second + 1)
			st.Reason = "exit code 1 while compiling\nsemantic error: no match\n"
		})},
		code:       503,
		retryAfter: "40",
		begin:      "a.stp failed and is in back-off, it can start again in 40 s\n",
		contains:   []string{"exit code 1 while compiling\nsemantic error: no match\n"},
	},
	"crash loop": {
		answer: scrape.Answer{Err: scrape.ErrBackingOff, Status: status(scrape.BackingOff, func(st *scrape.Status) {
			st.RetryAt, st.CrashLoop, st.ConsecutiveFailures = testTime.Add(5*time.Minute), true, 7
		})},
		code:       503,
		retryAfter: "300",
		begin: "a.stp failed and is in back-off, it can start again in 5 min\n" +
			"It is in a crash loop: 7 consecutive failures, each before it ran well for ten minutes\n",
	},
	"back-off over": {
		answer: scrape.Answer{Err: scrape.ErrBackingOff, Status: status(scrape.BackingOff, func(st *scrape.Status) {
			st.RetryAt = testTime.Add(-time.Second)
		})},
		code:       503,
		retryAfter: "1",
		begin:      "a.stp failed and is in back-off, it can start again in 1 s\n",
	},
	"back-off without time": {
		answer: scrape.Answer{Err: scrape.ErrBackingOff, Status: status(scrape.BackingOff, nil)},
		code:   503, retryAfter: "10", begin: "a.stp failed and is in back-off\n",
	},
	"read timeout": {
		answer: scrape.Answer{Err: scrape.ErrReadTimeout, Status: status(scrape.Running, nil)},
		code:   504, begin: "a.stp is running, but its metrics did not arrive in time\n",
	},
	"read failed": {
		answer: scrape.Answer{
			Err:    fmt.Errorf("%w: permission denied", scrape.ErrReadFailed),
			Status: status(scrape.Running, nil),
		},
		code:  502,
		begin: "a.stp: " + scrape.ErrReadFailed.Error() + ": permission denied\n",
	},
	"untrusted": {
		answer: scrape.Answer{
			Err:    fmt.Errorf("%w: others can write it: chmod o-w a.stp", trust.ErrUntrusted),
			Status: status(scrape.Idle, nil),
		},
		code:  403,
		begin: "a.stp is not run: " + trust.ErrUntrusted.Error() + ": others can write it: chmod o-w a.stp\n",
	},
	"wrong directive": {
		answer: scrape.Answer{
			Err:    fmt.Errorf("a.stp:3: %w: want true or false", script.ErrInvalidHeader),
			Status: status(scrape.Idle, nil),
		},
		code:  500,
		begin: "a.stp is not run: a.stp:3: " + script.ErrInvalidHeader.Error() + ": want true or false\n",
	},
	"over limit": {
		answer: scrape.Answer{Err: scrape.ErrOverLimit, Status: status(scrape.Running, nil)},
		code:   503, retryAfter: "1", begin: "too many requests wait for a.stp\n",
	},
	"shutting down": {
		answer: scrape.Answer{Err: scrape.ErrShuttingDown, Status: status(scrape.Stopping, nil)},
		code:   503, retryAfter: "10", begin: "exporter is shutting down\n",
	},
	"paused": {
		answer: scrape.Answer{Err: scrape.ErrPaused, Status: status(scrape.Idle, nil)},
		code:   503, retryAfter: "10", begin: "a.stp was paused by an operator",
	},
	"actor failed": {
		answer: scrape.Answer{
			Err:    fmt.Errorf("%w: boom", scrape.ErrInternal),
			Status: status(scrape.Running, nil),
		},
		code:  500,
		begin: "a.stp: " + scrape.ErrInternal.Error() + ": boom\n",
	},
	"actor in back-off": {
		answer: scrape.Answer{
			Err: fmt.Errorf("%w: actor failed 5 times in 10 s: boom", scrape.ErrInternal),
			Status: status(scrape.BackingOff, func(st *scrape.Status) {
				st.RetryAt, st.Reason = testTime.Add(10*time.Second), "actor failed 5 times in 10 s: boom\n"
			}),
		},
		code:       500,
		retryAfter: "10",
		begin:      "a.stp: " + scrape.ErrInternal.Error() + ": actor failed 5 times in 10 s: boom\n",
	},
	"actor in back-off, reason in the status": {
		answer: scrape.Answer{Err: scrape.ErrInternal, Status: status(scrape.BackingOff, func(st *scrape.Status) {
			st.Reason = "boom\n"
		})},
		code:  500,
		begin: "a.stp: " + scrape.ErrInternal.Error() + "\n\nboom\n",
	},
	"undeclared error": {
		answer: scrape.Answer{Err: errors.New("secret path /root/x")},
		code:   500, begin: "internal error",
	},
}

func TestOutcomes(t *testing.T) {
	clients := map[string]string{
		"plain":   "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
		"browser": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
	}
	for name, want := range outcomes {
		t.Run(name, func(t *testing.T) {
			fake := &fakeScripts{answer: func(string, scrape.Query) scrape.Answer { return want.answer }}
			_, addr := start(t, fake, nil)
			for client, accept := range clients {
				html := want.page && client == "browser"
				got := get(t, addr, "GET", "/a.stp", "Accept: "+accept)
				checkOutcome(t, client, got, want.code, want.retryAfter, html)
				if html {
					if !strings.Contains(got.body, "Refresh page to access metrics.") ||
						!strings.Contains(got.body, `<meta http-equiv="refresh" content="`) {
						t.Errorf("page without refresh:\n%s", got.body)
					}
					if strings.Contains(got.body, "<here>") || strings.Contains(got.body, "src=") {
						t.Errorf("page not escaped, or loads something:\n%s", got.body)
					}
				} else {
					if !strings.HasPrefix(got.body, want.begin) || !strings.HasSuffix(got.body, "\n") {
						t.Errorf("%s: body %q, want it to begin %q", client, got.body, want.begin)
					}
					for _, part := range want.contains {
						if !strings.Contains(got.body, part) {
							t.Errorf("%s: body %q lacks %q", client, got.body, part)
						}
					}
				}
				if strings.Contains(got.body, "secret") {
					t.Errorf("%s: body reveals %q", client, got.body)
				}

				head := get(t, addr, "HEAD", "/a.stp", "Accept: "+accept)
				checkOutcome(t, client+" HEAD", head, want.code, want.retryAfter, html)
				if head.body != "" || head.length != int64(len(got.body)) ||
					head.header.Get("Content-Type") != got.header.Get("Content-Type") {
					t.Errorf("%s HEAD: body %q, length %d of %d, type %q",
						client, head.body, head.length, len(got.body), head.header.Get("Content-Type"))
				}
			}
		})
	}
}

func checkOutcome(t *testing.T, client string, got reply, code int, retryAfter string, html bool) {
	t.Helper()
	wantType := "text/plain; charset=utf-8"
	switch {
	case code == 200:
		wantType = "text/plain; version=0.0.4; charset=utf-8"
	case html:
		wantType = "text/html; charset=utf-8"
	}
	if got.code != code || got.header.Get("Retry-After") != retryAfter || got.header.Get("Content-Type") != wantType {
		t.Errorf("%s: status %d, Retry-After %q, type %q, want %d, %q, %q", client, got.code,
			got.header.Get("Retry-After"), got.header.Get("Content-Type"), code, retryAfter, wantType)
	}
	checkCommonHeaders(t, got)
}

func checkCommonHeaders(t *testing.T, got reply) {
	t.Helper()
	for name, want := range map[string]string{
		"Server":                 "stap-exporter",
		"X-Content-Type-Options": "nosniff",
		"Cache-Control":          "no-store",
	} {
		if h := got.header.Get(name); h != want {
			t.Errorf("%s: %q, want %q", name, h, want)
		}
	}
	if got.header.Get("Date") == "" {
		t.Error("no Date")
	}
}

func TestRefreshGrowsWithTheWait(t *testing.T) {
	for wait, want := range map[time.Duration]int{
		0:                2,
		3 * time.Second:  2,
		10 * time.Second: 5,
		time.Hour:        10,
		-time.Hour:       2,
	} {
		st := &scrape.Status{Since: testTime.Add(-wait)}
		if got := startingViewOf(outcome{}, st, testTime).Refresh; got != want {
			t.Errorf("after %v: refresh %d, want %d", wait, got, want)
		}
	}
}
