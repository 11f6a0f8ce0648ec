package httpfront

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stap-exporter/internal/scrape"
)

// countedScripts counts the calls of Statuses. Its one script has the number of
// the state in its name.
type countedScripts struct {
	fakeScripts
	calls, state atomic.Int64
}

func (c *countedScripts) Statuses() []*scrape.Status {
	c.calls.Add(1)
	return []*scrape.Status{status(scrape.Running, func(st *scrape.Status) {
		st.Script.Name = fmt.Sprintf("state%d.stp", c.state.Load())
	})}
}

// shownState returns the state that a page shows.
func shownState(body string) int64 {
	_, rest, _ := strings.Cut(body, "state")
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	n, err := strconv.ParseInt(rest[:max(end, 0)], 10, 64)
	if err != nil {
		return -1
	}
	return n
}

func newCounted(cfg Config) (*Server, *countedScripts) {
	scripts := &countedScripts{}
	cfg.Scripts, cfg.TelemetryPath = scripts, "/metrics"
	cfg.Telemetry = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, scripts.Statuses()[0].Script.Name)
	})
	cfg.Events = func() any { return scripts.Statuses()[0].Script.Name }
	return New(cfg), scripts
}

// However many clients request a page of the server's own, it is made at most
// twice a second, and shows a state not older than the request.
func TestPagesAreMadeTwiceASecond(t *testing.T) {
	for _, target := range []string{"/metrics", "/", apiList, apiEventsPath, "/sd"} {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			s, scripts := newCounted(Config{})
			addr := serve(t, s)
			begin := time.Now()
			var clients sync.WaitGroup
			for range 100 {
				clients.Go(func() {
					for time.Since(begin) < 1200*time.Millisecond {
						now := scripts.state.Add(1)
						got := get(t, addr, "GET", target)
						if shown := shownState(got.body); got.code != 200 || shown < now {
							t.Errorf("%d, state %d instead of %d: %q", got.code, shown, now, got.body)
							return
						}
					}
				})
			}
			clients.Wait()
			limit := 1 + int64(time.Since(begin)/pageInterval)
			if n := scripts.calls.Load(); n > limit {
				t.Errorf("made %d times in %v", n, time.Since(begin))
			}
		})
	}
}

// Replies of one page share its bytes, compressed ones too.
func TestPagesShareTheirBytes(t *testing.T) {
	s, _ := newCounted(Config{})
	var plain, gzip []byte
	for i, encoding := range []string{"", "gzip", "", "gzip"} {
		ctx := newRequest("/metrics", "")
		ctx.Request.Header.Set("Accept-Encoding", encoding)
		p := s.sharedPage("telemetry")
		if i > 0 {
			p.begun = time.Now().Add(time.Hour) // made for all that come now
		}
		s.handle(ctx)
		body := ctx.Response.Body()
		first := &plain
		if encoding != "" {
			first = &gzip
		}
		if *first == nil {
			*first = body
		}
		if len(body) == 0 || &body[0] != &(*first)[0] {
			t.Errorf("request %d: a body of its own", i)
		}
	}
}

// Nothing is made for a client that disconnects while it waits, and Shutdown
// does not wait for what has not begun.
func TestPagesOfClientsThatWait(t *testing.T) {
	s, scripts := newCounted(Config{})
	addr := serve(t, s)
	if got := get(t, addr, "GET", "/"); got.code != 200 {
		t.Fatal(got.code)
	}
	gone := dial(t, addr)
	_, _ = io.WriteString(gone, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	page := s.sharedPage("list, text")
	eventually(t, "it waits", func() bool { return len(page.slot) == 1 })
	_ = gone.Close()
	eventually(t, "it has ended", func() bool { return s.open() == 0 })
	if n := scripts.calls.Load(); n != 1 {
		t.Errorf("made %d times", n)
	}

	if got := get(t, addr, "GET", "/"); got.code != 200 {
		t.Fatal(got.code)
	}
	var waiting []net.Conn
	for range 10 {
		c := dial(t, addr)
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		waiting = append(waiting, c)
	}
	eventually(t, "all wait", func() bool { return idleConns(s) == 0 && s.open() == len(waiting) })
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	for _, c := range waiting {
		if got := receive(t, bufio.NewReader(c), "GET"); got.code != 503 ||
			!strings.Contains(got.body, "shutting down") {
			t.Errorf("%d %q", got.code, got.body)
		}
	}
	if n := scripts.calls.Load(); n != 2 {
		t.Errorf("made %d times", n)
	}
}

// A panic while a page is made is one reply; the next request makes the page.
func TestPanicInAPage(t *testing.T) {
	broken := true
	s := New(Config{Scripts: &fakeScripts{}, TelemetryPath: "/metrics", Telemetry: http.HandlerFunc(
		func(w http.ResponseWriter, _ *http.Request) {
			if broken {
				broken = false
				panic("boom")
			}
			_, _ = io.WriteString(w, "count 1\n")
		},
	)})
	addr := serve(t, s)
	for _, code := range []int{500, 200} {
		if got := get(t, addr, "GET", "/metrics"); got.code != code {
			t.Errorf("%d %q instead of %d", got.code, got.body, code)
		}
	}
}

// Pages that nobody requests any more are dropped when there are many. Beyond
// the limit a page is made for one request, with a permit.
func TestManyPages(t *testing.T) {
	s, _ := newCounted(Config{})
	for i := range maxPages {
		s.sharedPage(strconv.Itoa(i))
	}
	if s.sharedPage("one more") != nil || s.sharedPage("1") == nil {
		t.Error("no limit, or a page is lost")
	}
	ctx := newRequest("/sd", "")
	s.handle(ctx)
	if shownState(string(ctx.Response.Body())) != 0 {
		t.Errorf("%d %q", ctx.Response.StatusCode(), ctx.Response.Body())
	}
	for _, p := range s.pages {
		p.requested = time.Now().Add(-2 * pageExpiry)
	}
	if s.sharedPage("one more") == nil || len(s.pages) != 1 {
		t.Errorf("%d pages", len(s.pages))
	}
}
