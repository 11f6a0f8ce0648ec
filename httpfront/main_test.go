package httpfront

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"stap-exporter/httpfront/listen"
	"stap-exporter/internal/exposition"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
)

// TestMain fails when the tests leak goroutines or descriptors.
func TestMain(m *testing.M) {
	if ln, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		_ = ln.Close() // opens the runtime's own epoll descriptor
	}
	before := openDescriptors()
	code := m.Run()
	if code == 0 {
		// fasthttp's clock for the Date header never ends; the cleaner of a
		// worker pool ends up to 10 s after its pool.
		if err := goleak.Find(
			goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
			goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		if after := openDescriptors(); after > before {
			fmt.Fprintf(os.Stderr, "%d descriptors open, %d before the tests\n", after, before)
			code = 1
		}
	}
	os.Exit(code)
}

func openDescriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}

// fakeScripts answers with a function. It records the names and queries of
// Scrape.
type fakeScripts struct {
	answer   func(name string, q scrape.Query) scrape.Answer // nil: ErrUnknown
	statuses []*scrape.Status

	mu      sync.Mutex
	names   []string
	queries []scrape.Query
}

func (f *fakeScripts) Scrape(name []byte, q scrape.Query) scrape.Answer {
	f.mu.Lock()
	f.names = append(f.names, string(name))
	f.queries = append(f.queries, q)
	f.mu.Unlock()
	if f.answer == nil {
		return scrape.Answer{Err: scrape.ErrUnknown}
	}
	return f.answer(string(name), q)
}

func (f *fakeScripts) Statuses() []*scrape.Status { return f.statuses }

// requested returns the names that Scrape was called with.
func (f *fakeScripts) requested() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.names)
}

// serveBody returns a fake that serves body for each of names.
func serveBody(body string, names ...string) *fakeScripts {
	return &fakeScripts{answer: func(name string, _ scrape.Query) scrape.Answer {
		if !slices.Contains(names, name) {
			return scrape.Answer{Err: scrape.ErrUnknown}
		}
		return scrape.Answer{
			Page:   pageOf(body),
			Status: &scrape.Status{Script: script.Script{Name: name}, State: scrape.Running},
		}
	}}
}

var testTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// start serves scripts on a free port until the test ends.
func start(t *testing.T, scripts Scripts, log *zap.Logger) (*Server, string) {
	t.Helper()
	s := New(Config{Scripts: scripts, Version: "1.2.3", Logger: log})
	s.now = func() time.Time { return testTime }
	return s, serve(t, s)
}

// serve opens one more listener for s. The test's end shuts s down.
func serve(t *testing.T, s *Server) string {
	t.Helper()
	listeners, err := listen.Listen([]string{"127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, s, listeners[0])
	return listeners[0].Addr().String()
}

// serveOn serves s on ln until the test ends.
func serveOn(t *testing.T, s *Server, ln net.Listener) {
	t.Helper()
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// open returns the number of open connections.
func (s *Server) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// eventually waits until ok returns true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// reply is an HTTP reply that was read to the end.
type reply struct {
	code   int
	header http.Header
	body   string
	length int64 // Content-Length
}

// send writes raw bytes to addr as one request of the given method and reads
// one reply.
func send(t *testing.T, addr, method, raw string) reply {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, raw); err != nil {
		t.Fatal(err)
	}
	return receive(t, bufio.NewReader(conn), method)
}

func receive(t *testing.T, from *bufio.Reader, method string) reply {
	t.Helper()
	resp, err := http.ReadResponse(from, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("read the reply: %v", err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		t.Fatalf("read the body: %v", err)
	}
	return reply{resp.StatusCode, resp.Header, string(body), resp.ContentLength}
}

// get sends "METHOD target" with the given header lines and Connection: close.
func get(t *testing.T, addr, method, target string, headers ...string) reply {
	t.Helper()
	raw := method + " " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
	for _, h := range headers {
		raw += h + "\r\n"
	}
	return send(t, addr, method, raw+"\r\n")
}

// pageOf returns the page of a script's text.
func pageOf(text string) *exposition.Page {
	return exposition.Sanitize([]byte(text), exposition.Options{})
}

// lines returns a valid text with n samples.
func lines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "count{tid=\"%d\",cpu=\"0\"} 9\n", i)
	}
	return b.String()
}

// skipIfShort skips a test with -short.
func skipIfShort(t *testing.T, reason string) {
	t.Helper()
	if testing.Short() {
		t.Skip(reason)
	}
}
