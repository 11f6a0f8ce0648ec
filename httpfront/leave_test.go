package httpfront

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"stap-exporter/httpfront/internal/testpki"
	"stap-exporter/httpfront/webconfig"
	"stap-exporter/internal/scrape"
)

// untilGone answers a request once its client is gone, or release is closed. It
// checks the client as actors.Handle does, only more often.
func untilGone(release <-chan struct{}) (scripts *fakeScripts, waiting chan struct{}) {
	waiting = make(chan struct{}, 100)
	scripts = &fakeScripts{answer: func(_ string, q scrape.Query) scrape.Answer {
		waiting <- struct{}{}
		for !q.Client.Gone() {
			select {
			case <-release:
				return scrape.Answer{Page: pageOf("count 1\n"), Status: new(scrape.Status)}
			case <-time.After(time.Millisecond):
			}
		}
		return scrape.Answer{Err: scrape.ErrClientGone}
	}}
	return scripts, waiting
}

// disconnects are ways to disconnect while a request waits.
var disconnects = map[string]struct {
	more       string // sent after the request
	disconnect func(c net.Conn)
	reads      bool // the client still reads, and gets a reply
}{
	"close": {"", func(c net.Conn) { _ = c.Close() }, false},
	"half close": {"", func(c net.Conn) {
		if t, ok := c.(*tls.Conn); ok {
			c = t.NetConn() // not TLS's close_notify, which does not close the connection
		}
		_ = c.(interface{ CloseWrite() error }).CloseWrite()
	}, true},
	"close, pipelined":   {simpleGet, func(c net.Conn) { _ = c.Close() }, false},
	"close, half a line": {"GET", func(c net.Conn) { _ = c.Close() }, false},
	"reset": {"", func(c net.Conn) {
		if t, ok := c.(*net.TCPConn); ok {
			_ = t.SetLinger(0)
		}
		_ = c.Close()
	}, false},
}

// A client that disconnects while its request waits is detected on every kind
// of connection, whatever else it sent. Its request is counted separately.
func TestClientsThatDisconnect(t *testing.T) {
	for kind, connect := range everyKind(t) {
		for way, c := range disconnects {
			t.Run(kind+"/"+way, func(t *testing.T) {
				scripts, waiting := untilGone(nil)
				s, dial := connect(t, scripts)
				conn := dial()
				if _, err := io.WriteString(conn, simpleGet); err != nil {
					t.Fatal(err)
				}
				<-waiting
				_, _ = io.WriteString(conn, c.more)
				c.disconnect(conn)
				if c.reads {
					from := bufio.NewReader(conn)
					got := receive(t, from, "GET")
					if got.code != 503 || !strings.Contains(got.body, "closed by the client") {
						t.Errorf("reply %d %q", got.code, got.body)
					}
					if rest, err := io.ReadAll(from); err != nil || len(rest) > 0 {
						t.Errorf("then %q, %v", rest, err)
					}
				}
				eventually(t, "the connection is closed", func() bool { return s.open() == 0 })
				if n := s.disconnects.Load(); n != 1 {
					t.Errorf("%d counted", n)
				}
			})
		}
	}
}

// A client that stays is not taken for gone: not when more requests arrived,
// nor after the deadline for sending a request.
func TestClientsThatStay(t *testing.T) {
	for kind, connect := range everyKind(t) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			release := make(chan struct{})
			scripts, waiting := untilGone(release)
			s, dial := connect(t, scripts)
			quiet, busy := dial(), dial()
			for c, raw := range map[net.Conn]string{quiet: simpleGet, busy: simpleGet + simpleGet + "GET /"} {
				if _, err := io.WriteString(c, raw); err != nil {
					t.Fatal(err)
				}
				<-waiting
			}
			time.Sleep(2 * shortly)
			close(release)
			if got := receive(t, bufio.NewReader(quiet), "GET"); got.code != 200 {
				t.Errorf("quiet: %d %q", got.code, got.body)
			}
			from := bufio.NewReader(busy)
			for range 2 {
				if got := receive(t, from, "GET"); got.code != 200 {
					t.Errorf("busy: %d %q", got.code, got.body)
				}
			}
			if n := s.disconnects.Load(); n != 0 {
				t.Errorf("%d counted as disconnected", n)
			}
		})
	}
}

// everyKind returns functions that start a server and return how to connect to
// it: plain, with TLS, over a unix socket. The deadline for sending a request
// is short.
func everyKind(t *testing.T) map[string]func(t *testing.T, scripts Scripts) (*Server, func() net.Conn) {
	t.Helper()
	dir := t.TempDir()
	testpki.New(t, dir, "ca").Issue("server")
	on := func(network string, w *webconfig.Config) func(t *testing.T, scripts Scripts) (*Server, func() net.Conn) {
		return func(t *testing.T, scripts Scripts) (*Server, func() net.Conn) {
			t.Helper()
			address := "127.0.0.1:0"
			if network == "unix" {
				address = filepath.Join(t.TempDir(), "socket")
			}
			ln, err := net.Listen(network, address)
			if err != nil {
				t.Fatal(err)
			}
			s := New(Config{Scripts: scripts, Web: w})
			s.http.ReadTimeout = shortly
			serveOn(t, s, ln)
			return s, func() net.Conn {
				c, err := net.Dial(network, ln.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = c.Close() })
				if w != nil {
					return tls.Client(c, &tls.Config{InsecureSkipVerify: true})
				}
				return c
			}
		}
	}
	return map[string]func(t *testing.T, scripts Scripts) (*Server, func() net.Conn){
		"tcp":  on("tcp", nil),
		"tls":  on("tcp", webConfig(t, dir, serverTLS, zap.NewNop())),
		"unix": on("unix", nil),
	}
}

// A client that disconnects while it waits for /all counts once, however many
// scripts there are.
func TestDisconnectFromAll(t *testing.T) {
	scripts, waiting := untilGone(nil)
	scripts.statuses = []*scrape.Status{
		status(scrape.Running, nil),
		status(scrape.Running, func(st *scrape.Status) { st.Script.Name = "b.stp" }),
	}
	s, addr := start(t, scripts, nil)
	conn := dial(t, addr)
	_, _ = io.WriteString(conn, "GET /all HTTP/1.1\r\nHost: x\r\n\r\n")
	<-waiting
	<-waiting
	_ = conn.Close()
	eventually(t, "it is detected", func() bool { return s.disconnects.Load() == 1 && s.open() == 0 })
}

// Clients that reset the connection within a request or a reply do not affect
// others.
func TestResets(t *testing.T) {
	page := pageOf(lines(10000))
	s, addr := start(
		t,
		&fakeScripts{answer: func(string, scrape.Query) scrape.Answer { return scrape.Answer{Page: page} }},
		nil,
	)
	for _, raw := range []string{
		"",
		"GET /x.s",
		"GET /x.stp HTTP/1.1\r\nHo",
		simpleGet,
		strings.Repeat(simpleGet, 100),
		"POST /x.stp HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nab",
		"\x00\r\n\r\n",
	} {
		for read := range 2 {
			conn := dial(t, addr).(*net.TCPConn)
			_, _ = io.WriteString(conn, raw)
			if read == 1 && strings.HasPrefix(raw, simpleGet) {
				_, _ = io.ReadFull(conn, make([]byte, 1000))
			}
			_ = conn.SetLinger(0)
			_ = conn.Close()
		}
	}
	eventually(t, "the connections are closed", func() bool { return s.open() == 0 })
	if got := get(t, addr, "GET", "/x.stp"); got.code != 200 || got.body != string(page.Text()) {
		t.Errorf("after them: %d", got.code)
	}
}

// Pipelined requests are answered in their order, even around one that panics.
func TestPipelining(t *testing.T) {
	scripts := &fakeScripts{answer: func(name string, _ scrape.Query) scrape.Answer {
		if name == "panic.stp" {
			panic("boom")
		}
		return scrape.Answer{Page: pageOf("name{n=\"" + name + "\"} 1\n")}
	}}
	_, addr := start(t, scripts, nil)
	conn := dial(t, addr)
	names := []string{"a.stp", "panic.stp", "b.stp", "none", "c.stp"}
	var raw strings.Builder
	for range 100 {
		for _, name := range names {
			raw.WriteString("GET /" + name + " HTTP/1.1\r\nHost: x\r\n\r\n")
		}
	}
	go func() { _, _ = io.WriteString(conn, raw.String()) }()
	from := bufio.NewReader(conn)
	for range 100 {
		for _, name := range names {
			want := 200
			if code, special := map[string]int{"panic.stp": 500, "none": 404}[name]; special {
				want = code
			}
			got := receive(t, from, "GET")
			if got.code != want || want == 200 && !strings.Contains(got.body, name) {
				t.Fatalf("%s: %d %q", name, got.code, got.body)
			}
		}
	}
}

func TestHTTP10(t *testing.T) {
	_, addr := start(t, serveBody("count 1\n", "x.stp"), nil)
	conn := dial(t, addr)
	_, _ = io.WriteString(conn, "GET /x.stp HTTP/1.0\r\n\r\n")
	if got, err := io.ReadAll(conn); err != nil || !strings.HasSuffix(string(got), "\r\n\r\ncount 1\n") {
		t.Errorf("%q, %v", got, err)
	}
	conn = dial(t, addr)
	from := bufio.NewReader(conn)
	for range 2 {
		_, _ = io.WriteString(conn, "GET /x.stp HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
		if got := receive(t, from, "GET"); got.code != 200 {
			t.Errorf("keep-alive: %d", got.code)
		}
	}
}

// Every method but GET and HEAD gets a 405. The connection goes on when the
// body came whole.
func TestMethods(t *testing.T) {
	_, addr := start(t, serveBody("count 1\n", "x.stp"), nil)
	conn := dial(t, addr)
	from := bufio.NewReader(conn)
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT", "BREW", "get"} {
		_, _ = io.WriteString(conn, method+" /x.stp HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
		got := receive(t, from, http.MethodPut)
		if got.code != 405 || got.header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d, Allow %q", method, got.code, got.header.Get("Allow"))
		}
	}
}
