package httpfront

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"stap-exporter/httpfront/internal/testpki"
	"stap-exporter/httpfront/listen"
)

// BenchmarkConnections measures replies over loopback: one connection for each
// request, and many requests on each connection.
func BenchmarkConnections(b *testing.B) {
	s := New(Config{Scripts: &sameAnswer{Page: pageOf(lines(120))}})
	listeners, err := listen.Listen([]string{"127.0.0.1:0"})
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(listeners[0]) }()
	addr := listeners[0].Addr().String()
	request := func(c net.Conn, from *bufio.Reader, header string) {
		if _, err := io.WriteString(c, "GET /x.stp HTTP/1.1\r\nHost: x\r\n"+header+"\r\n"); err != nil {
			b.Error(err)
			return
		}
		resp, err := http.ReadResponse(from, nil)
		if err != nil {
			b.Error(err)
			return
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	connect := func() (net.Conn, *bufio.Reader) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		return c, bufio.NewReader(c)
	}
	b.Run("one request each", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				c, from := connect()
				request(c, from, "Connection: close\r\n")
				_ = c.Close()
			}
		})
	})
	b.Run("many requests each", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			c, from := connect()
			defer func() { _ = c.Close() }()
			for pb.Next() {
				request(c, from, "")
			}
		})
	})
	if err := s.Shutdown(context.Background()); err != nil {
		b.Error(err)
	}
	if err := <-served; err != nil {
		b.Error(err)
	}
}

// faultyConns is a listener whose connections panic when they read, once faulty
// is set.
type faultyConns struct {
	net.Listener
	faulty *atomic.Bool
}

type faultyConn struct{ net.Conn }

func (faultyConn) Read([]byte) (int, error) { panic("boom") }

func (l faultyConns) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil && l.faulty.Load() {
		c = faultyConn{c}
	}
	return c, err
}

// A panic in any part of the goroutine of a connection ends this connection and
// no other one, and is logged with its stack.
func TestPanicEndsOneConnection(t *testing.T) {
	dir := t.TempDir()
	testpki.New(t, dir, "ca").Issue("server")
	for name, c := range map[string]struct {
		tls    bool
		inject func(s *Server, boom func()) // calls boom in the connection's goroutine
		raw    string                       // what reaches it; simpleGet when empty
		reads  bool                         // reads panic
	}{
		"read":             {reads: true},
		"handshake's read": {reads: true, tls: true},
		"handshake": {tls: true, inject: func(s *Server, boom func()) {
			cfg := s.web.Load().TLS()
			latest := cfg.GetConfigForClient
			cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
				boom()
				return latest(hello)
			}
		}},
		"parser": {inject: func(s *Server, boom func()) {
			s.http.HeaderReceived = func(*fasthttp.RequestHeader) (none fasthttp.RequestConfig) {
				boom()
				return none
			}
		}},
		"error handler": {raw: "no request\r\n\r\n", inject: func(s *Server, boom func()) {
			reject := s.http.ErrorHandler
			s.http.ErrorHandler = func(ctx *fasthttp.RequestCtx, err error) {
				boom()
				reject(ctx, err)
			}
		}},
		"connection state": {inject: func(s *Server, boom func()) {
			track := s.http.ConnState
			s.http.ConnState = func(c net.Conn, state fasthttp.ConnState) {
				boom()
				track(c, state)
			}
		}},
		"handler": {inject: func(s *Server, boom func()) {
			handle := s.http.Handler
			s.http.Handler = func(ctx *fasthttp.RequestCtx) {
				boom()
				handle(ctx)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var faulty atomic.Bool
			boom := func() {
				if faulty.Load() {
					panic("boom")
				}
			}
			core, logs := observer.New(zap.DebugLevel)
			cfg := Config{Scripts: serveBody("count 1\n", "x.stp"), Logger: zap.New(core)}
			if c.tls {
				cfg.Web = webConfig(t, dir, serverTLS, zap.NewNop())
			}
			s := New(cfg)
			if c.inject != nil {
				c.inject(s, boom)
			}
			listeners, err := listen.Listen([]string{"127.0.0.1:0"})
			if err != nil {
				t.Fatal(err)
			}
			ln := listeners[0]
			if c.reads {
				ln = faultyConns{ln, &faulty}
			}
			serveOn(t, s, ln)
			connect := func() net.Conn {
				conn := dial(t, listeners[0].Addr().String())
				if c.tls {
					conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
				}
				return conn
			}
			conns, readers := fill(t, 1, connect)
			eventually(t, "it is idle", func() bool { return idleConns(s) == 1 })

			faulty.Store(true)
			raw := c.raw
			if raw == "" {
				raw = simpleGet
			}
			bad := connect()
			_, _ = io.WriteString(bad, raw)
			if got, err := io.ReadAll(bad); len(got) > 0 {
				t.Errorf("got %q, %v", got, err)
			}
			eventually(t, "the connection is closed", func() bool { return s.open() == 1 })
			faulty.Store(false)

			_, _ = io.WriteString(conns[0], simpleGet)
			if got := receive(t, readers[0], "GET"); got.code != 200 {
				t.Errorf("another connection: %d", got.code)
			}
			panics := logs.FilterMessage("panic in an HTTP connection").FilterField(zap.Any("panic", "boom")).All()
			if len(panics) != 1 ||
				!strings.Contains(fmt.Sprint(panics[0].ContextMap()["stack"]), "serve_test.go") {
				t.Errorf("logged %v", panics)
			}
		})
	}
}
