package httpfront

import (
	"bytes"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"stap-exporter/internal/script"
)

// memoryConn gives the server the bytes of one client, and keeps what the server writes.
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

// FuzzRequest sends one request made of its parts, which may well break it into more than one.
// Whatever comes: no panic, a status of our table, and only names that a script can have reach Scripts, with a deadline within bounds.
func FuzzRequest(f *testing.F) {
	f.Add("GET", "/x.stp", "*/*", "10")
	f.Add("HEAD", "/w.stp?x=http://h/y", "text/html;q=0.5, text/plain;q=0.4", "0.3")
	f.Add("GET", "/..%2F%00//x.stp#", "text/*;q=;q=2,,", "1e9")
	f.Add("GET", "http://h/a%252Fb%.stp", ",;=", "Inf")
	f.Add("POST", "/", "text/html", ".")
	f.Add("GET", "//h/x.stp", "text/html", strings.Repeat("9", 40))
	f.Fuzz(func(t *testing.T, method, target, accept, timeout string) {
		scripts := &fakeScripts{statuses: []*script.Status{status(script.Starting, func(st *script.Status) {
			st.Script.Name, st.Activity, st.Reason = target, accept, timeout
		})}}
		scripts.answer = func(name string, q script.Query) script.Answer {
			if !strings.HasSuffix(name, ".stp") || strings.Contains(name, "/") {
				t.Errorf("asked for %q", name)
			}
			if left := q.Deadline.Sub(testTime); left < 0 || left > defaultStart {
				t.Errorf("timeout %q: %v left", timeout, left)
			}
			switch {
			case strings.HasPrefix(name, "w"):
				return script.Answer{Err: script.ErrWarming, Status: scripts.statuses[0]}
			case strings.HasPrefix(name, "b"):
				return script.Answer{Err: script.ErrBackingOff, Status: scripts.statuses[0]}
			}
			return script.Answer{Page: pageOf("count 1\n")}
		}
		s := New(Config{Scripts: scripts})
		s.now = func() time.Time { return testTime }
		conn := &memoryConn{in: strings.NewReader(method + " " + target + " HTTP/1.1\r\nHost: x\r\nAccept: " + accept + "\r\nX-Prometheus-Scrape-Timeout-Seconds: " + timeout + "\r\n\r\n")}
		_ = s.http.ServeConn(conn) // its error says what was wrong with the request; the reply is what counts
		if conn.out.Len() == 0 {
			return // the connection ended inside the request
		}
		line, _, _ := strings.Cut(conn.out.String(), "\r\n")
		fields := strings.Fields(line)
		if len(fields) < 2 || !slices.Contains([]string{"100", "200", "400", "404", "405", "413", "431", "503"}, fields[1]) {
			t.Errorf("status line %q", line)
		}
	})
}
