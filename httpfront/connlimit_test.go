package httpfront

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"stap-exporter/httpfront/internal/testpki"
	"stap-exporter/internal/scrape"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

const simpleGet = "GET /x.stp HTTP/1.1\r\nHost: x\r\n\r\n"

// fill opens n connections that got a reply and stay open.
func fill(t *testing.T, n int, connect func() net.Conn) (conns []net.Conn, readers []*bufio.Reader) {
	t.Helper()
	for range n {
		c := connect()
		_, _ = io.WriteString(c, simpleGet)
		from := bufio.NewReader(c)
		if got := receive(t, from, "GET"); got.code != 200 {
			t.Fatalf("connection %d: %d", len(conns), got.code)
		}
		conns, readers = append(conns, c), append(readers, from)
	}
	return conns, readers
}

// busyScripts serves x.stp at once and busy.stp once release is called. begun
// receives for each request for busy.stp.
func busyScripts() (scripts *fakeScripts, begun chan struct{}, release func()) {
	begun, finish := make(chan struct{}), make(chan struct{})
	quick := serveBody("count 1\n", "x.stp", "busy.stp")
	return &fakeScripts{answer: func(name string, q scrape.Query) scrape.Answer {
		if name == "busy.stp" {
			begun <- struct{}{}
			<-finish
		}
		return quick.answer(name, q)
	}}, begun, sync.OnceFunc(func() { close(finish) })
}

// fillBusy opens n connections whose requests wait for release.
func fillBusy(t *testing.T, n int, begun <-chan struct{}, connect func() net.Conn) (conns []net.Conn) {
	t.Helper()
	for range n {
		c := connect()
		_, _ = io.WriteString(c, "GET /busy.stp HTTP/1.1\r\nHost: x\r\n\r\n")
		<-begun
		conns = append(conns, c)
	}
	return conns
}

// Each of thousands of connections over the limit gets a 503 or is closed. Busy
// ones go on, and one that becomes idle makes room for another.
func TestConnectionsOverTheLimit(t *testing.T) {
	const limit, more, clients = 30, 3000, 50
	core, logs := observer.New(zap.WarnLevel)
	scripts, begun, release := busyScripts()
	defer release()
	s := New(Config{Scripts: scripts, MaxConnections: limit, Logger: zap.New(core)})
	addr := serve(t, s)
	busy := fillBusy(t, limit, begun, func() net.Conn { return dial(t, addr) })

	var answered, closed atomic.Int64
	var flood sync.WaitGroup
	for range clients {
		flood.Go(func() {
			for range more / clients {
				c, err := net.Dial("tcp", addr)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.WriteString(c, simpleGet)
				resp, err := http.ReadResponse(bufio.NewReader(c), nil)
				switch {
				case err != nil:
					closed.Add(1)
				case resp.StatusCode == 503 && resp.Header.Get("Retry-After") == "1" && resp.Close:
					answered.Add(1)
				default:
					t.Errorf("over the limit: %v", resp)
				}
				_ = c.Close()
			}
		})
	}
	flood.Wait()
	if answered.Load() == 0 || answered.Load()+closed.Load() != more {
		t.Errorf("%d got a 503, %d were closed, of %d", answered.Load(), closed.Load(), more)
	}
	if n := s.Stats(); n.ConnectionsLimit != limit || n.RejectedConnections != more {
		t.Errorf("stats: %+v", n)
	}
	if n := logs.Len(); n != 1 {
		t.Errorf("%d log lines", n)
	}

	// /-/healthy has no limit.
	eventually(t, "the flood is over", func() bool { return s.open() == limit })
	if got := get(t, addr, "GET", "/-/healthy"); got.code != 200 {
		t.Errorf("health: %d", got.code)
	}
	release()
	for i, c := range busy {
		from := bufio.NewReader(c)
		for range 2 {
			if got := receive(t, from, "GET"); got.code != 200 {
				t.Errorf("connection %d: %d", i, got.code)
			}
			_, _ = io.WriteString(c, simpleGet)
		}
	}
	if got := get(t, addr, "GET", "/x.stp"); got.code != 200 {
		t.Errorf("below the limit: %d", got.code)
	}
}

// The limit holds for TLS and for unix sockets. A silent client over the limit
// is disconnected soon.
func TestConnectionsOverTheLimitByKind(t *testing.T) {
	t.Run("tls", func(t *testing.T) {
		dir := t.TempDir()
		testpki.New(t, dir, "ca").Issue("server")
		scripts, begun, release := busyScripts()
		defer release()
		s := New(Config{
			Scripts:        scripts,
			MaxConnections: 6,
			Web:            webConfig(t, dir, serverTLS, zap.NewNop()),
		})
		addr := serve(t, s)
		overTheLimit(t, s, begun, func() net.Conn {
			return tls.Client(dial(t, addr), &tls.Config{InsecureSkipVerify: true})
		})
	})
	t.Run("unix", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "socket")
		ln, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		scripts, begun, release := busyScripts()
		defer release()
		s := New(Config{Scripts: scripts, MaxConnections: 6})
		serveOn(t, s, ln)
		overTheLimit(t, s, begun, func() net.Conn {
			c, err := net.Dial("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			return c
		})
	})
}

// overTheLimit checks the limit of a server with a limit of six connections.
func overTheLimit(t *testing.T, s *Server, begun <-chan struct{}, connect func() net.Conn) {
	t.Helper()
	const limit, slots = 6, 3
	fillBusy(t, limit, begun, connect)
	silent := make([]net.Conn, slots)
	for i := range silent {
		silent[i] = connect()
	}
	eventually(t, "the silent connections are accepted", func() bool { return s.rejected.Load() == slots })
	if _, secure := silent[0].(*tls.Conn); !secure {
		got := receive(t, bufio.NewReader(silent[0]), "GET")
		if got.code != 503 || got.header.Get("Retry-After") != "1" {
			t.Errorf("over the limit and silent: %d %q", got.code, got.body)
		}
	}
	// While they are open, another connection is closed at once.
	eventually(t, "the silent connections are closed", func() bool { return s.open() == limit })
	one := connect()
	_, _ = io.WriteString(one, simpleGet)
	from := bufio.NewReader(one)
	if got := receive(t, from, "GET"); got.code != 503 || !strings.Contains(got.body, "connections") {
		t.Errorf("over the limit: %d %q", got.code, got.body)
	}
	if rest, err := io.ReadAll(from); err != nil || len(rest) > 0 {
		t.Errorf("after the reply: %q, %v", rest, err)
	}
}

func TestDefaultMaxConnections(t *testing.T) {
	if n := DefaultMaxConnections(); n < 100 || n > defaultMaxConnections {
		t.Errorf("%d", n)
	}
	for descriptors, want := range map[uint64][2]int{
		0:       {1, 1},
		65:      {1, 1},
		88:      {16, 8},
		256:     {128, 64},
		1024:    {704, 64},
		1 << 20: {defaultMaxConnections, maxRejectSlots},
		1 << 63: {defaultMaxConnections, maxRejectSlots},
	} {
		n := maxConnections(descriptors)
		slots := New(Config{MaxConnections: n}).rejectSlots()
		if n != want[0] || slots != want[1] {
			t.Errorf("%d descriptors: %d connections and %d slots, want %v", descriptors, n, slots, want)
		}
	}
	if n := New(Config{}).cfg.MaxConnections; n != DefaultMaxConnections() {
		t.Errorf("without a setting: %d", n)
	}
}

// An error reply reaches a client that still sends, and the connection ends.
func TestErrorReachesASendingClient(t *testing.T) {
	_, addr := start(t, serveBody("x", "x.stp"), nil)
	much := strings.Repeat("a", lingerBytes/2)
	for name, c := range map[string]struct {
		method, raw string
		code        int
	}{
		"huge target": {"GET", "GET /" + much + ".stp HTTP/1.1\r\nHost: x\r\n\r\n", 414},
		"huge header": {"GET", "GET /x.stp HTTP/1.1\r\nHost: x\r\nCookie: " + much + "\r\n\r\n", 431},
		"many headers": {
			"GET",
			"GET /x.stp HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", lingerBytes/12) + "\r\n",
			431,
		},
		"huge body": {"POST", "POST /x.stp HTTP/1.1\r\nHost: x\r\nContent-Length: 131072\r\n\r\n" + much, 405},
		"second":    {"GET", "", 414},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, addr)
			from := bufio.NewReader(conn)
			if c.raw == "" {
				_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
				if got := receive(t, from, "GET"); got.code != 200 {
					t.Fatal(got.code)
				}
				c.raw = "GET /" + much
			}
			if _, err := io.WriteString(conn, c.raw); err != nil {
				t.Errorf("the server does not read to the end: %v", err)
			}
			got := receive(t, from, c.method)
			if got.code != c.code || got.header.Get("Content-Type") != plainText {
				t.Errorf("%d %q, want %d", got.code, got.body, c.code)
			}
			if rest, err := io.ReadAll(from); len(rest) > 0 || err != nil && !errors.Is(err, io.EOF) {
				t.Errorf("then %q, %v", rest, err)
			}
		})
	}
}
