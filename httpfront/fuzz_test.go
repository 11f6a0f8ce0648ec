package httpfront

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"stap-exporter/httpfront/internal/testpki"
	"stap-exporter/httpfront/webconfig"
	"stap-exporter/internal/scrape"
)

// memoryConn is a connection with fixed input. It keeps the server's output.
type memoryConn struct {
	in  io.Reader
	out bytes.Buffer
}

func (c *memoryConn) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c *memoryConn) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *memoryConn) Close() error                     { return nil }
func (c *memoryConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *memoryConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *memoryConn) SetDeadline(time.Time) error      { return nil }
func (c *memoryConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memoryConn) SetWriteDeadline(time.Time) error { return nil }

// FuzzRequest sends one request made of its parts, which may break it into more
// than one. For any input: no panic, a known status code, and Scripts gets only
// names that a script can have, with a deadline within bounds.
func FuzzRequest(f *testing.F) {
	f.Add("GET", "/x.stp", "*/*", "10")
	f.Add("HEAD", "/w.stp?x=http://h/y", "text/html;q=0.5, text/plain;q=0.4", "0.3")
	f.Add("GET", "/..%2F%00//x.stp#", "text/*;q=;q=2,,", "1e9")
	f.Add("GET", "http://h/a%252Fb%.stp", ",;=", "Inf")
	f.Add("POST", "/", "text/html", ".")
	f.Add("GET", "//h/x.stp", "text/html", strings.Repeat("9", 40))
	f.Fuzz(func(t *testing.T, method, target, accept, timeout string) {
		scripts := &fakeScripts{statuses: []*scrape.Status{status(scrape.Starting, func(st *scrape.Status) {
			st.Script.Name, st.Activity, st.Reason = target, accept, timeout
		})}}
		scripts.answer = func(name string, q scrape.Query) scrape.Answer {
			if !strings.HasSuffix(name, ".stp") || strings.Contains(name, "/") {
				t.Errorf("requested %q", name)
			}
			if left := q.Deadline.Sub(testTime); left < 0 || left > defaultStartTimeout {
				t.Errorf("timeout %q: %v left", timeout, left)
			}
			switch {
			case strings.HasPrefix(name, "w"):
				return scrape.Answer{Err: scrape.ErrNotRunning, Status: scripts.statuses[0]}
			case strings.HasPrefix(name, "b"):
				return scrape.Answer{Err: scrape.ErrBackingOff, Status: scripts.statuses[0]}
			}
			return scrape.Answer{Page: pageOf("count 1\n")}
		}
		s := New(Config{Scripts: scripts})
		s.now = func() time.Time { return testTime }
		conn := &memoryConn{
			in: strings.NewReader(method + " " + target + " HTTP/1.1\r\nHost: x\r\nAccept: " + accept +
				"\r\nX-Prometheus-Scrape-Timeout-Seconds: " + timeout + "\r\n\r\n"),
		}
		_ = s.http.ServeConn(conn) // the error describes the request; only the reply counts
		if conn.out.Len() == 0 {
			return // the connection ended within the request
		}
		line, _, _ := strings.Cut(conn.out.String(), "\r\n")
		fields := strings.Fields(line)
		if len(fields) < 2 ||
			!slices.Contains([]string{"100", "200", "400", "404", "405", "413", "414", "431", "503"}, fields[1]) {
			t.Errorf("status line %q", line)
		}
	})
}

// recorder is a Lifecycle that accepts everything.
type recorder struct{ names []string }

func (r *recorder) StartScript(name string) error   { r.names = append(r.names, name); return nil }
func (r *recorder) StopScript(name string) error    { r.names = append(r.names, name); return nil }
func (r *recorder) RestartScript(name string) error { r.names = append(r.names, name); return nil }
func (r *recorder) Reload() error                   { return nil }

// FuzzConnection sends any bytes to a server with everything enabled. For any
// input: no panic, only whole replies with a known status code and the common
// headers, Lifecycle called for a POST only, and no script name with a slash.
func FuzzConnection(f *testing.F) {
	f.Add([]byte("GET /x.stp HTTP/1.1\r\nHost: x\r\n\r\nGET /w.stp HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" +
		"GET / HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n"))
	f.Add([]byte("POST /api/v1/scripts/x.stp/restart HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" +
		"Origin: http://x\r\nContent-Length: 2\r\n\r\n{}"))
	f.Add([]byte("GET /all?name[]=x.stp&name[]=%77.stp HTTP/1.1\r\nHost: x\r\n" +
		"X-Prometheus-Scrape-Timeout-Seconds: 1\r\nAccept-Encoding: gzip\r\n\r\n"))
	f.Add([]byte("GET /sd?mode=all HTTP/1.1\r\nHost: [::1]:80\r\n\r\nGET /sd HTTP/1.1\r\nHost: a:b\r\n\r\n"))
	f.Add([]byte("PUT /x.stp HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n"))
	f.Add([]byte("POST /-/reload HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n" +
		"Sec-Fetch-Site: cross-site\r\n\r\nx"))
	f.Add([]byte("GET " + strings.Repeat("/a", maxHeaderBytes) + " HTTP/1.1\r\n"))
	f.Add([]byte("GET http://u@h:1/x.stp?a=b#c HTTP/1.1\r\nHost: y\r\nAuthorization: Basic Og==\r\n" +
		"Cookie: a=b; c\r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		scripts := &fakeScripts{statuses: []*scrape.Status{
			status(scrape.Starting, func(st *scrape.Status) { st.Script.Name = "w.stp" }),
			status(scrape.Running, func(st *scrape.Status) { st.Script.Name = "x.stp" }),
		}}
		scripts.answer = func(name string, _ scrape.Query) scrape.Answer {
			switch {
			case strings.Contains(name, "/") && !bytes.Contains(raw, []byte("name")):
				// /all passes on any name
				t.Errorf("requested %q", name)
			case name == "x.stp":
				return scrape.Answer{Page: pageOf("count 1\n"), Status: scripts.statuses[1]}
			case name == "w.stp":
				return scrape.Answer{Err: scrape.ErrNotRunning, Status: scripts.statuses[0]}
			}
			return scrape.Answer{Err: scrape.ErrUnknown}
		}
		calls := &recorder{}
		s := New(Config{
			Scripts:         scripts,
			Lifecycle:       calls,
			EnableLifecycle: true,
			Events:          func() any { return nil },
			TelemetryPath:   "/metrics",
			Telemetry:       http.NotFoundHandler(),
		})
		s.now = func() time.Time { return testTime }
		conn := &memoryConn{in: bytes.NewReader(raw)}
		_ = s.http.ServeConn(&clientConn{Conn: conn}) // the error describes the request
		if len(calls.names) > 0 && !bytes.Contains(raw, []byte("POST")) {
			t.Errorf("called for %q without a POST", calls.names)
		}
		if bytes.Contains(raw, []byte("HEAD")) {
			return // the end of a reply to HEAD is not known
		}
		from := bufio.NewReader(&conn.out)
		for {
			resp, err := http.ReadResponse(from, nil)
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) && from.Buffered() == 0 {
				return
			}
			if err != nil {
				t.Fatalf("reply: %v", err)
			}
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatalf("body: %v", err)
			}
			if resp.StatusCode == 100 {
				continue
			}
			if !slices.Contains([]int{200, 202, 400, 403, 404, 405, 413, 414, 417, 431, 503}, resp.StatusCode) {
				t.Errorf("status %d", resp.StatusCode)
			}
			if resp.StatusCode == 417 { // fasthttp's own reply
				continue
			}
			if resp.Header.Get("X-Content-Type-Options") != "nosniff" || resp.Header.Get("Content-Type") == "" ||
				len(body) == 0 {
				t.Errorf("%d: %v, %q", resp.StatusCode, resp.Header, body)
			}
		}
	})
}

// FuzzWebConfig serves with any web config file that is valid. The server
// answers, with the file's headers.
func FuzzWebConfig(f *testing.F) {
	dir := f.TempDir()
	testpki.New(f, dir, "ca").Issue("server")
	full, err := os.ReadFile("webconfig/testdata/full.yml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(full)
	for part := range bytes.SplitSeq(full, []byte("\n")) {
		f.Add(part)
	}
	f.Add([]byte(clientsAllowed))
	f.Add([]byte("rate_limit: {interval: 1ns, burst: 1}\nhttp_server_config: {headers: {X-Frame-Options: deny}}"))
	f.Fuzz(func(t *testing.T, content []byte) {
		if bytes.Contains(content, []byte("/dev/")) || bytes.Contains(content, []byte("/proc/")) {
			return // files without an end
		}
		path := filepath.Join(dir, "web.yml")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		web, err := webconfig.Load(path, zap.NewNop())
		if err != nil {
			return
		}
		s := New(Config{Scripts: serveBody("count 1\n", "x.stp"), Web: web})
		for _, target := range []string{"/-/healthy", "/x.stp"} {
			checkConfigured(t, s, target)
		}
	})
}

// checkConfigured requests target, below TLS.
func checkConfigured(t *testing.T, s *Server, target string) {
	t.Helper()
	conn := &memoryConn{
		in: strings.NewReader("GET " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
	}
	if err := s.http.ServeConn(&clientConn{Conn: conn}); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(&conn.out), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains([]int{200, 401, 429}, resp.StatusCode) ||
		target == "/-/healthy" && resp.StatusCode != 200 {
		t.Errorf("%s: %d", target, resp.StatusCode)
	}
	for _, h := range s.web.Load().Headers() {
		if got := resp.Header.Get(string(h.Name)); got != strings.TrimSpace(string(h.Value)) {
			t.Errorf("header %q: %q, want %q", h.Name, got, h.Value)
		}
	}
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); resp.StatusCode == 429 && (err != nil || n < 1) {
		t.Errorf("Retry-After %q", resp.Header.Get("Retry-After"))
	}
}
