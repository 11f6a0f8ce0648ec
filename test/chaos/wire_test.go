package chaos

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"stap-exporter/test/harness"
)

// A question is a request with all that may come of it.
type question struct {
	kind    string // for the table
	method  string // GET when empty
	path    string
	header  string        // more lines, each with its CRLF
	timeout time.Duration // what its X-Prometheus-Scrape-Timeout-Seconds says; 0: it has none
	quick   bool          // waits for no script
	known   []int         // the status codes that are an answer to it
}

// within is when its answer is due, where one read may take as long.
func (q question) within(read time.Duration) time.Duration {
	switch {
	case q.quick || q.method == http.MethodPost:
		return time.Second // no promise, but nothing takes so long
	case q.timeout > 0:
		return q.timeout
	default:
		return 2*read + 250*time.Millisecond
	}
}

func (q question) raw(host string) string {
	method := q.method
	if method == "" {
		method = http.MethodGet
	}
	header := q.header
	if q.timeout > 0 {
		header += fmt.Sprintf("X-Prometheus-Scrape-Timeout-Seconds: %g\r\n", q.timeout.Seconds())
	}
	if method == http.MethodPost {
		header += "Content-Length: 0\r\n"
	}
	return method + " " + q.path + " HTTP/1.1\r\nHost: " + host + "\r\n" + header + "\r\n"
}

// reply is an answer.
type reply struct {
	code   int
	header http.Header
	body   []byte // as it was before gzip
	kept   bool   // the connection can be used again
}

// client asks one question after the other on a connection that it keeps for as
// long as the server does. net/http's own would hide a second answer.
type client struct {
	c    *chaos
	conn net.Conn
	in   *bufio.Reader
}

func (c *chaos) client() *client { return &client{c: c} }

func (w *client) close() {
	if w.conn == nil {
		return
	}
	if extra := w.pending(); extra != "" {
		w.c.fault("after the last answer came %s", extra)
	}
	w.drop()
}

func (w *client) drop() {
	if w.conn != nil {
		_ = w.conn.Close()
		w.conn = nil
	}
}

// pending says what came that nobody asked for; a connection that the server
// closed is dropped.
func (w *client) pending() string {
	_ = w.conn.SetReadDeadline(time.Now().Add(time.Microsecond))
	b, err := w.in.Peek(1)
	switch {
	case len(b) > 0:
		rest, _ := w.in.Peek(w.in.Buffered())
		return fmt.Sprintf("%.200q", rest)
	case !errors.Is(err, os.ErrDeadlineExceeded):
		w.drop()
	}
	return ""
}

// connect sees to a connection.
func (w *client) connect() bool {
	if w.conn != nil {
		if extra := w.pending(); extra != "" {
			w.c.fault("between two questions came %s", extra)
			w.drop()
		}
	}
	if w.conn != nil {
		return true
	}
	conn, err := net.DialTimeout("tcp", w.c.address, w.c.grace)
	if err != nil {
		w.c.fault("connect: %v", err)
		return false
	}
	w.conn, w.in = conn, bufio.NewReader(conn)
	return true
}

// ask asks and waits for the answer. It is false, and a fault is noted, when
// there was none, a late one, or none of those known.
func (w *client) ask(q question) (reply, bool) {
	if !w.connect() {
		return reply{}, false
	}
	begun := time.Now()
	due := q.within(w.c.read) + w.c.grace
	_ = w.conn.SetDeadline(begun.Add(due + w.c.grace))
	if _, err := io.WriteString(w.conn, q.raw(w.c.address)); err != nil {
		w.c.count(q.kind, "broken")
		w.c.fault("%s %s: send: %v", q.kind, q.path, err)
		w.drop()
		return reply{}, false
	}
	r, err := w.answer(q.method)
	took := time.Since(begun)
	if err != nil {
		w.c.count(q.kind, "no answer")
		w.c.fault("%s %s: no answer after %v: %v", q.kind, q.path, took, err)
		w.drop()
		return r, false
	}
	if !r.kept {
		w.drop()
	}
	w.c.count(q.kind, strconv.Itoa(r.code))
	if took > due {
		w.c.count(q.kind, "late")
		w.c.fault("%s %s: answer %d after %v, was due after %v", q.kind, q.path, r.code, took, q.within(w.c.read))
		return r, false
	}
	if wrong := q.wrong(r); wrong != "" {
		w.c.fault("%s %s: answer %d: %s: %.300q", q.kind, q.path, r.code, wrong, r.body)
		return r, false
	}
	return r, true
}

// wrong says what no answer to the question may be like.
func (q question) wrong(r reply) string {
	switch {
	case !slices.Contains(q.known, r.code):
		return "not a known one"
	case r.header.Get("Content-Type") == "":
		return "no content type"
	case r.code == http.StatusServiceUnavailable && !validRetry(r.header.Get("Retry-After")):
		return "Retry-After " + r.header.Get("Retry-After")
	case q.method != http.MethodHead && len(r.body) == 0:
		return "empty"
	case bytes.Contains(r.body, []byte("internal error")):
		return "internal error"
	}
	return ""
}

func validRetry(value string) bool {
	n, err := strconv.Atoi(value)
	return err == nil && n > 0
}

// answer reads one answer off the connection.
func (w *client) answer(method string) (reply, error) {
	got, err := http.ReadResponse(w.in, &http.Request{Method: strings.ToUpper(method)})
	if err != nil {
		return reply{}, err
	}
	defer got.Body.Close()
	var body []byte
	switch {
	case strings.EqualFold(method, http.MethodHead):
	case got.ContentLength < 0:
		body, err = io.ReadAll(got.Body)
	default:
		// some are megabytes: a buffer that grows would keep the processors
		// from those who measure, and from the exporter
		body = make([]byte, got.ContentLength)
		_, err = io.ReadFull(got.Body, body)
	}
	if err != nil {
		return reply{}, fmt.Errorf("read body: %w", err)
	}
	if got.Header.Get("Content-Encoding") == "gzip" {
		if body, err = harness.Gunzip(body); err != nil {
			return reply{}, fmt.Errorf("gunzip: %w", err)
		}
	}
	return reply{got.StatusCode, got.Header, body, !got.Close}, nil
}

// ledger is what a run has seen. Its methods may be called from any goroutine.
type ledger struct {
	mu       sync.Mutex
	requests map[string]map[string]int // by kind and outcome
	happened map[string]int            // events by kind
	faults   []string                  // the first of them
	more     int                       // how many others
	took     [phases][]time.Duration   // scrapes of healthy scripts, from when they were due
}

func (l *ledger) init() {
	l.requests, l.happened = map[string]map[string]int{}, map[string]int{}
}

func (l *ledger) count(kind, outcome string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.requests[kind] == nil {
		l.requests[kind] = map[string]int{}
	}
	l.requests[kind][outcome]++
}

func (l *ledger) event(kind string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.happened[kind]++
}

// fault notes what must not be.
func (l *ledger) fault(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.faults) < 40 {
		l.faults = append(l.faults, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
		return
	}
	l.more++
}

func (l *ledger) faulty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.faults) > 0
}

func (l *ledger) scraped(phase int, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took[phase] = append(l.took[phase], took)
}
