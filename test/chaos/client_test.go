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
	"time"

	"stap-exporter/test/harness"
)

// request is a request and its permitted replies.
type request struct {
	kind    string // for the table
	method  string // empty: GET
	path    string
	header  string        // more lines, each with its CRLF
	timeout time.Duration // of X-Prometheus-Scrape-Timeout-Seconds; 0: no such header
	quick   bool          // the reply waits for no script
	codes   []int         // permitted status codes
}

// within returns when the reply is due, where read is the time limit of a read.
func (q request) within(read time.Duration) time.Duration {
	switch {
	case q.quick || q.method == http.MethodPost:
		return time.Second // nothing takes so long
	case q.timeout > 0:
		return q.timeout
	default:
		return 2*read + 250*time.Millisecond
	}
}

func (q request) raw(host string) string {
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

type reply struct {
	code   int
	header http.Header
	body   []byte // decompressed
	kept   bool   // the connection can be used again
}

// client sends one request after the other on a connection that it keeps as
// long as the server does. The client of net/http would hide a second reply.
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
		w.c.fault("after the last reply came %s", extra)
	}
	w.drop()
}

func (w *client) drop() {
	if w.conn != nil {
		_ = w.conn.Close()
		w.conn = nil
	}
}

// pending returns what arrived without a request. A connection that the server
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

// connect connects unless there is a connection.
func (w *client) connect() bool {
	if w.conn != nil {
		if extra := w.pending(); extra != "" {
			w.c.fault("between two requests came %s", extra)
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

// send sends a request and waits for the reply. ok is false, and a fault is
// recorded, when there is none, or a late one, or one that is not permitted.
func (w *client) send(q request) (got reply, ok bool) {
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
	r, err := w.readReply(q.method)
	took := time.Since(begun)
	if err != nil {
		w.c.count(q.kind, "no reply")
		w.c.fault("%s %s: no reply after %v: %v", q.kind, q.path, took, err)
		w.drop()
		return r, false
	}
	if !r.kept {
		w.drop()
	}
	w.c.count(q.kind, strconv.Itoa(r.code))
	if took > due {
		w.c.count(q.kind, "late")
		w.c.fault("%s %s: reply %d after %v, was due after %v", q.kind, q.path, r.code, took, q.within(w.c.read))
		return r, false
	}
	if wrong := q.wrong(r); wrong != "" {
		w.c.fault("%s %s: reply %d: %s: %.300q", q.kind, q.path, r.code, wrong, r.body)
		return r, false
	}
	return r, true
}

// wrong returns what is not permitted of a reply.
func (q request) wrong(r reply) string {
	switch {
	case !slices.Contains(q.codes, r.code):
		return "status code not permitted"
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

// readReply reads a reply from the connection.
func (w *client) readReply(method string) (reply, error) {
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
		// Some have megabytes: a buffer that grows would take CPU time from the
		// exporter and from the measurement.
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
	return reply{
		code:   got.StatusCode,
		header: got.Header,
		body:   body,
		kept:   !got.Close,
	}, nil
}
