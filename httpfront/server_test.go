package httpfront

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"stap-exporter/httpfront/listen"
	"stap-exporter/internal/scrape"
)

func TestListenErrorsHaveARemedy(t *testing.T) {
	open, err := listen.Listen([]string{"127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = open[0].Close() }()
	taken := open[0].Addr().String()
	free, err := listen.Listen([]string{"127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	first := free[0].Addr().String()
	_ = free[0].Close()

	_, err = listen.Listen([]string{first, taken})
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), taken) ||
		!strings.Contains(err.Error(), "another port with -p or --web.listen-address") {
		t.Errorf("taken: %v", err)
	}
	if again, err := listen.Listen([]string{first}); err != nil {
		t.Errorf("the first listener was left open: %v", err)
	} else {
		_ = again[0].Close()
	}

	for addr, want := range map[string]string{
		"":            "--web.listen-address",
		"9900":        "HOST:PORT",
		":":           "missing port",
		"h:99999":     "HOST:PORT",
		"192.0.2.1:0": "no such address",
	} {
		_, err := listen.Listen([]string{addr})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), addr) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", addr, err)
		}
	}
	if _, err := listen.Listen(nil); err == nil {
		t.Error("no error without an address")
	}
}

func TestListenOnAllInterfaces(t *testing.T) {
	listeners, err := listen.Listen([]string{":0"})
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listeners[0].Addr().String())
	s := New(Config{Scripts: serveBody("count 1\n", "x.stp")})
	served := make(chan error, 1)
	go func() { served <- s.Serve(listeners[0]) }()

	hosts := []string{"127.0.0.1"}
	if probe, err := net.Listen("tcp6", "[::1]:0"); err == nil {
		// a host without IPv6 has nothing to test here
		_ = probe.Close()
		hosts = append(hosts, "::1")
	}
	for _, host := range hosts {
		if got := get(t, net.JoinHostPort(host, port), "GET", "/x.stp"); got.code != 200 {
			t.Errorf("%s: %d", host, got.code)
		}
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestSeveralListeners(t *testing.T) {
	s, one := start(t, serveBody("count 1\n", "x.stp"), nil)
	two := serve(t, s)
	for _, addr := range []string{one, two, one} {
		if got := get(t, addr, "GET", "/x.stp"); got.code != 200 {
			t.Errorf("%s: %d", addr, got.code)
		}
	}
}

func TestStandardClient(t *testing.T) {
	_, addr := start(t, serveBody("count 1\n", "a b.stp"), nil)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for range 3 { // over one connection
		resp, err := client.Get("http://" + addr + "/a%20b.stp")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || string(body) != "count 1\n" {
			t.Errorf("%d %q %v", resp.StatusCode, body, err)
		}
	}
	resp, err := client.Post("http://"+addr+"/a%20b.stp", "text/plain", strings.NewReader(strings.Repeat("x", 1000)))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 405 {
		t.Errorf("POST: %d", resp.StatusCode)
	}
}

// waiting returns scripts whose Scrape waits until release is called. Each call
// of Scrape sends to begun.
func waiting() (scripts *fakeScripts, begun <-chan struct{}, release func()) {
	calls, finish := make(chan struct{}, 10), make(chan struct{})
	scripts = &fakeScripts{answer: func(string, scrape.Query) scrape.Answer {
		calls <- struct{}{}
		<-finish
		return scrape.Answer{Page: pageOf("count 1\n")}
	}}
	return scripts, calls, func() { close(finish) }
}

func TestShutdownLetsRequestsEnd(t *testing.T) {
	scripts, begun, release := waiting()
	s, addr := start(t, scripts, nil)
	silent := dial(t, addr) // never sends a byte
	half := dial(t, addr)   // never ends its request
	_, _ = io.WriteString(half, "GET /x.stp HTTP/1.1\r\nHo")
	busy := dial(t, addr)
	_, _ = io.WriteString(busy, "GET /x.stp HTTP/1.1\r\nHost: x\r\n\r\n")
	<-begun

	down := make(chan error, 1)
	go func() { down <- s.Shutdown(context.Background()) }()
	for _, c := range []net.Conn{silent, half} { // they end while the request still waits
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Errorf("read from a connection without a request: %v", err)
		}
	}
	select {
	case err := <-down:
		t.Fatalf("Shutdown did not wait for the request: %v", err)
	default:
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		_ = c.Close()
		t.Error("still accepts")
	}

	release()
	got := receive(t, bufio.NewReader(busy), "GET")
	if got.code != 200 || got.body != "count 1\n" {
		t.Errorf("%d %q", got.code, got.body)
	}
	if err := <-down; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Errorf("second Shutdown: %v", err)
	}
}

func TestShutdownIsBounded(t *testing.T) {
	scripts, begun, release := waiting()
	s, addr := start(t, scripts, nil)
	busy := dial(t, addr)
	_, _ = io.WriteString(busy, "GET /x.stp HTTP/1.1\r\nHost: x\r\n\r\n")
	<-begun

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	if n, _ := io.Copy(io.Discard, busy); n != 0 {
		t.Errorf("%d bytes on a closed connection", n)
	}
	release()
}

func TestShutdownClosesIdleConnections(t *testing.T) {
	s, addr := start(t, serveBody("count 1\n", "x.stp"), nil)
	conn := dial(t, addr)
	_, _ = io.WriteString(conn, "GET /x.stp HTTP/1.1\r\nHost: x\r\n\r\n")
	from := bufio.NewReader(conn)
	if got := receive(t, from, "GET"); got.code != 200 {
		t.Fatalf("%d", got.code)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if rest, err := io.ReadAll(from); err != nil || len(rest) != 0 {
		t.Errorf("after Shutdown: %q, %v", rest, err)
	}
}

func TestServeAfterShutdown(t *testing.T) {
	s := New(Config{Scripts: &fakeScripts{}})
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	listeners, err := listen.Listen([]string{"127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(listeners[0]); err != nil {
		t.Error(err)
	}
	if _, err := listeners[0].Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("listener left open: %v", err)
	}
}

// faultyListener fails Accept with each of its errors, then it accepts.
type faultyListener struct {
	net.Listener
	errs []error
}

func (l *faultyListener) Accept() (net.Conn, error) {
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = l.errs[1:]
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", err)}
	}
	return l.Listener.Accept()
}

func TestServeOutlivesShortages(t *testing.T) {
	listeners, err := listen.Listen([]string{"127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.WarnLevel)
	s := New(Config{Scripts: serveBody("count 1\n", "x.stp"), Logger: zap.New(core)})
	served := make(chan error, 1)
	go func() {
		served <- s.Serve(&faultyListener{listeners[0], []error{syscall.EMFILE, syscall.ECONNABORTED, syscall.ENFILE}})
	}()
	if got := get(t, listeners[0].Addr().String(), "GET", "/x.stp"); got.code != 200 {
		t.Errorf("%d", got.code)
	}
	if n := logs.Len(); n != 1 {
		t.Errorf("%d log lines", n)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestServeReportsOtherErrors(t *testing.T) {
	listeners, err := listen.Listen([]string{"127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{Scripts: &fakeScripts{}})
	if err := s.Serve(&faultyListener{listeners[0], []error{syscall.EPERM}}); !errors.Is(err, syscall.EPERM) {
		t.Errorf("Serve: %v", err)
	}
}

func TestCloseEndsTheWaitForDescriptors(t *testing.T) {
	listeners, err := listen.Listen([]string{"127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	shortage := make([]error, 1000)
	for i := range shortage {
		shortage[i] = syscall.EMFILE
	}
	l := listen.New(&faultyListener{listeners[0], shortage}, zap.NewNop())
	accepted := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		accepted <- err
	}()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// dial opens a connection that the test's end closes. Reads fail after a
// minute.
func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	return conn
}
