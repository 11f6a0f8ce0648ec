package httpfront

import (
	"fmt"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"stap-exporter/httpfront/internal/testpki"
)

// Requests that are malformed, have no valid login or are over the rate limit
// are counted, and logged once a minute for each code.
func TestRejectedRequestsAreCounted(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	users := "basic_auth_users:\n  prom: " + hashOf(t, "secret") + "\n"
	limit := "rate_limit:\n  interval: 1h\n  burst: 1\n"
	dir := t.TempDir()
	start := func(text string) (*Server, string) {
		return startWith(t, serveBody("count 1\n", "x.stp"), dir, text, zap.New(core))
	}

	s, addr := start(users)
	for range 3 {
		if got := get(t, addr, "GET", "/x.stp"); got.code != 401 {
			t.Errorf("%d", got.code)
		}
	}
	for range 2 {
		if got := send(t, addr, "GET", "nothing\r\n\r\n"); got.code != 400 {
			t.Errorf("%d", got.code)
		}
	}
	if n := s.Stats(); n.RejectedLogins != 3 || n.MalformedRequests != 2 || n.RateLimitedRequests != 0 {
		t.Errorf("%+v", n)
	}

	s, addr = start(limit)
	for i := range 5 {
		if got := get(t, addr, "GET", "/x.stp"); (got.code == 429) != (i > 0) {
			t.Errorf("request %d: %d", i, got.code)
		}
	}
	if n := s.Stats(); n.RateLimitedRequests != 4 {
		t.Errorf("%+v", n)
	}

	testpki.New(t, dir, "ca").Issue("server")
	s, addr = start(serverTLS)
	if got := get(t, addr, "GET", "/x.stp"); got.code != 400 {
		t.Errorf("plain HTTP to TLS: %d", got.code)
	}
	eventually(t, "the connection is closed", func() bool { return s.open() == 0 })
	if n := s.Stats().MalformedRequests; n != 1 {
		t.Errorf("plain HTTP to TLS: counted %d times", n)
	}

	codes := map[string]int{}
	for _, line := range logs.FilterMessage("requests rejected").All() {
		codes[fmt.Sprint(line.ContextMap()["code"])]++
	}
	if len(codes) != 3 || codes["401"] != 1 || codes["429"] != 1 || codes["400"] != 2 {
		t.Errorf("logged %v", codes) // 400 by two servers
	}
}
