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

	"stap-exporter/internal/scrape"
)

// gone answers a request once its client has left, or release says that it has
// waited enough. It does what Handle.Ask does, more often.
func gone(release <-chan struct{}) (scripts *fakeScripts, waiting chan struct{}) {
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

// leaving are ways to leave while a request waits.
var leaving = map[string]struct {
	more  string // sent after the request
	leave func(c net.Conn)
	told  bool // who still reads is told
}{
	"close": {"", func(c net.Conn) { _ = c.Close() }, false},
	"half close": {"", func(c net.Conn) {
		if t, ok := c.(*tls.Conn); ok {
			c = t.NetConn() // TLS's own message says nothing about the connection
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

// A client that leaves while its request waits is noticed on every kind of
// connection, whatever else it sent; its request is counted apart.
func TestClientsThatLeave(t *testing.T) {
	for kind, connect := range everyKind(t) {
		for way, c := range leaving {
			t.Run(kind+"/"+way, func(t *testing.T) {
				scripts, waiting := gone(nil)
				s, dial := connect(t, scripts)
				conn := dial()
				if _, err := io.WriteString(conn, simpleGet); err != nil {
					t.Fatal(err)
				}
				<-waiting
				_, _ = io.WriteString(conn, c.more)
				c.leave(conn)
				if c.told {
					from := bufio.NewReader(conn)
					if got := receive(
						t,
						from,
						"GET",
					); got.code != 503 ||
						!strings.Contains(got.body, "closed by the client") {
						t.Errorf("told %d %q", got.code, got.body)
					}
					if rest, err := io.ReadAll(from); err != nil || len(rest) > 0 {
						t.Errorf("then %q, %v", rest, err)
					}
				}
				eventually(t, "the connection is gone", func() bool { return s.open() == 0 })
				if n := s.left.Load(); n != 1 {
					t.Errorf("%d counted", n)
				}
			})
		}
	}
}

// Who stays is not held for gone: not when more requests are there already, nor
// after the deadline for sending a request.
func TestClientsThatStay(t *testing.T) {
	for kind, connect := range everyKind(t) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			release := make(chan struct{})
			scripts, waiting := gone(release)
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
			if n := s.left.Load(); n != 0 {
				t.Errorf("%d counted as gone", n)
			}
		})
	}
}

// everyKind makes servers and connections: plain, TLS, over a unix socket. The
// deadline for sending a request is short.
func everyKind(t *testing.T) map[string]func(t *testing.T, scripts Scripts) (*Server, func() net.Conn) {
	t.Helper()
	dir := t.TempDir()
	newAuthority(t, dir, "ca").issue("server")
	writeFile(t, filepath.Join(dir, "web.yml"), serverTLS)
	on := func(network string, w *WebConfig) func(t *testing.T, scripts Scripts) (*Server, func() net.Conn) {
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
	w, err := LoadWebConfig(filepath.Join(dir, "web.yml"), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	return map[string]func(t *testing.T, scripts Scripts) (*Server, func() net.Conn){
		"tcp": on("tcp", nil), "tls": on("tcp", w), "unix": on("unix", nil),
	}
}

// A client that leaves the page of all scripts while it is being made is one
// that left, whatever the scripts.
func TestWhoLeavesThePageOfAll(t *testing.T) {
	scripts, waiting := gone(nil)
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
	eventually(t, "it is noticed", func() bool { return s.left.Load() == 1 && s.open() == 0 })
}

// Clients that reset the connection in the middle of a request or of a reply
// cost nobody else anything.
func TestResets(t *testing.T) {
	page := pageOf(lines(10000))
	s, addr := start(
		t,
		&fakeScripts{answer: func(string, scrape.Query) scrape.Answer { return scrape.Answer{Page: page} }},
		nil,
	)
	for _, raw := range []string{"", "GET /x.s", "GET /x.stp HTTP/1.1\r\nHo", simpleGet, strings.Repeat(simpleGet, 100), "POST /x.stp HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nab", "\x00\r\n\r\n"} {
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
	eventually(t, "they are gone", func() bool { return s.open() == 0 })
	if got := get(t, addr, "GET", "/x.stp"); got.code != 200 || got.body != string(page.Text()) {
		t.Errorf("after them: %d", got.code)
	}
}

// Requests that come together are answered in their order, also around one that
// panics.
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

// Every method but GET and HEAD is refused with 405, and the connection goes on
// where its body came whole.
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
