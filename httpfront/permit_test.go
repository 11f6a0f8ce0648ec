package httpfront

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"

	"stap-exporter/internal/scrape"
)

const getAll = "GET /all HTTP/1.1\r\nHost: x\r\n\r\n"

// inUse returns the number of permits that requests hold.
func (s *Server) inUse() int { return len(s.permits) }

// No more than MaxRequests requests for /all are answered at a time. One holds
// its permit until its reply is written, or its client is gone.
func TestMaxRequests(t *testing.T) {
	scripts, begun, release := busyScripts()
	defer release()
	scripts.statuses = []*scrape.Status{
		status(scrape.Running, func(st *scrape.Status) { st.Script.Name = "busy.stp" }),
	}
	s := New(Config{Scripts: scripts, MaxRequests: 2})
	addr := serve(t, s)
	var conns []net.Conn
	for range 2 {
		c := dial(t, addr)
		_, _ = io.WriteString(c, getAll)
		<-begun
		conns = append(conns, c)
	}
	for range 3 {
		got := get(t, addr, "GET", "/all")
		if got.code != 503 || got.header.Get("Retry-After") != "1" ||
			!strings.Contains(got.body, "--web.max-requests") {
			t.Errorf("over the limit: %d %q", got.code, got.body)
		}
	}
	if got := get(t, addr, "GET", "/x.stp"); got.code != 200 {
		t.Errorf("a script: %d", got.code)
	}
	release()
	for _, c := range conns {
		if got := receive(t, bufio.NewReader(c), "GET"); got.code != 200 {
			t.Errorf("below the limit: %d %q", got.code, got.body)
		}
	}
	eventually(t, "the permits are released", func() bool { return s.inUse() == 0 })
}

// A client that does not read its reply holds its permit until it is gone.
func TestSlowReaderHoldsItsPermit(t *testing.T) {
	scripts := serveBody(lines(300_000), "x.stp")
	scripts.statuses = []*scrape.Status{
		status(scrape.Running, func(st *scrape.Status) { st.Script.Name = "x.stp" }),
	}
	s := New(Config{Scripts: scripts, MaxRequests: 1})
	addr := serve(t, s)
	slow := dial(t, addr)
	_, _ = io.WriteString(slow, getAll)
	from := bufio.NewReader(slow)
	if line, err := from.ReadString('\n'); err != nil || !strings.Contains(line, "200") {
		t.Fatalf("%q, %v", line, err)
	}
	if got := get(t, addr, "GET", "/all"); got.code != 503 {
		t.Errorf("while the client does not read: %d", got.code)
	}
	_ = slow.Close()
	eventually(t, "the permit is released", func() bool { return s.inUse() == 0 })
	if got := get(t, addr, "GET", "/all"); got.code != 200 {
		t.Errorf("afterwards: %d", got.code)
	}
}
