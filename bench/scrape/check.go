// Package scrape asks an exporter for metrics as many Prometheus replicas
// would, and looks at every body it gets.
package scrape

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"

	"stap-exporter/bench/body"
)

// Checks say what can be asked of a body.
type Checks struct {
	Stamped  bool // it is of the stand-in source: it tells its read
	Fresh    bool // and its read begins after its request; not so where texts are made beforehand
	Counters bool // no sample of it ever falls
}

// What can be wrong with a reply.
const (
	wrongConnection = "connection" // none came
	wrongStatus     = "status"     // not 200
	wrongLate       = "late"       // after the time that the request said it has
	// a 200 without a body, which makes Prometheus forget every series
	wrongEmpty     = "empty"
	wrongEncoding  = "encoding"           // not what its header says
	wrongParse     = "does not parse"     // Prometheus would throw it away
	wrongTruncated = "torn"               // cut, or of two reads
	wrongOld       = "older than request" // its read began before the request
	// something counted down between two scrapes one after the other
	wrongBackwards = "backwards"
)

// reply is what came back.
type reply struct {
	status      int
	contentType string
	encoding    string
	body        []byte
	sent, done  int64 // body.Monotonic before the request left and after the body was there
}

// history is what one replica saw of one script.
type history struct {
	mu    sync.Mutex
	known bool
	done  int64 // of the reply with last
	last  body.Stamp
	seen  map[string]float64
}

// checker checks replies. Any goroutine may use it.
type checker struct {
	what   Checks
	shapes sync.Map // by content type: *atomic.Pointer[shape]
}

// wrong is a reply that is not as it should be.
type wrong struct{ kind, detail string }

func (w *wrong) Error() string { return w.kind + ": " + w.detail }

// check returns nil, or what is wrong with r as a *wrong. age is how old its
// data was when it was there; 0 where that is not known.
func (c *checker) check(h *history, r reply) (age int64, err error) {
	if r.status != 200 {
		return 0, &wrong{wrongStatus, fmt.Sprintf("%d %.80q", r.status, r.body)}
	}
	text := r.body
	switch r.encoding {
	case "gzip":
		u := unzippers.Get().(*unzipper)
		defer unzippers.Put(u)
		if text, err = u.unzip(text); err != nil {
			return 0, &wrong{wrongEncoding, err.Error()}
		}
	case "":
	default:
		return 0, &wrong{wrongEncoding, r.encoding}
	}
	if len(text) == 0 {
		return 0, &wrong{wrongEmpty, "no bytes"}
	}
	if !c.what.Stamped {
		return 0, c.checkSamples(h, r, text)
	}
	stamp, err := c.read(r.contentType, text)
	if err != nil {
		return 0, err
	}
	if c.what.Fresh && stamp.At < r.sent {
		return 0, &wrong{wrongOld, fmt.Sprintf("by %d ns, read %d", r.sent-stamp.At, stamp.Number)}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known && r.sent > h.done && stamp.Number < h.last.Number {
		return 0, &wrong{wrongBackwards, fmt.Sprintf("read %d after read %d", stamp.Number, h.last.Number)}
	}
	if !h.known || stamp.Number >= h.last.Number {
		h.known, h.last, h.done = true, stamp, r.done
	}
	return r.done - stamp.At, nil
}

// checkSamples parses everything and, where that was asked for, holds each
// sample against the one before.
func (c *checker) checkSamples(h *history, r reply, text []byte) error {
	if text[len(text)-1] != '\n' {
		return &wrong{wrongTruncated, fmt.Sprintf("ends %.40q", text[max(0, len(text)-40):])}
	}
	now, err := parse(text, r.contentType, c.what.Counters)
	if err != nil {
		return &wrong{wrongParse, err.Error()}
	}
	if !c.what.Counters {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known && r.sent < h.done {
		return nil // two at a time: either may have been read first
	}
	for name, v := range now {
		if before, ok := h.seen[name]; ok && v < before {
			return &wrong{wrongBackwards, fmt.Sprintf("%s from %v to %v", name, before, v)}
		}
	}
	h.known, h.seen, h.done = true, now, r.done
	return nil
}

// shape is a text that was parsed as a whole, and where its numbers are. A text
// that differs from it in these numbers alone parses, too.
type shape struct {
	text []byte
	at   []int // of the digits of begin, read time and end
}

// read parses a stamped text, or finds that it is one that was parsed but for
// its numbers.
func (c *checker) read(contentType string, text []byte) (body.Stamp, error) {
	slot, ok := c.shapes.Load(contentType)
	if !ok {
		slot, _ = c.shapes.LoadOrStore(contentType, new(atomic.Pointer[shape]))
	}
	known := slot.(*atomic.Pointer[shape])
	if s := known.Load(); s != nil {
		if stamp, ok := s.match(text); ok {
			return stamp, nil
		}
	}
	if _, err := parse(text, contentType, false); err != nil {
		return body.Stamp{}, &wrong{wrongParse, err.Error()}
	}
	stamp, at, err := body.Find(text)
	if err != nil {
		return body.Stamp{}, &wrong{wrongTruncated, err.Error()}
	}
	known.Store(&shape{bytes.Clone(text), at})
	return stamp, nil
}

func (s *shape) match(text []byte) (stamp body.Stamp, ok bool) {
	if len(text) != len(s.text) {
		return stamp, false
	}
	from := 0
	var numbers [3]int64
	for i, at := range s.at {
		if !bytes.Equal(text[from:at], s.text[from:at]) {
			return stamp, false
		}
		from = at + body.Digits
		n, err := strconv.ParseInt(string(text[at:from]), 10, 64)
		if err != nil {
			return stamp, false
		}
		numbers[i] = n - body.Offset
	}
	if !bytes.Equal(text[from:], s.text[from:]) || numbers[0] != numbers[2] {
		return stamp, false
	}
	return body.Stamp{Number: numbers[0], At: numbers[1]}, true
}

type unzipper struct {
	r   *gzip.Reader
	in  bytes.Reader
	out bytes.Buffer
}

var unzippers = sync.Pool{New: func() any { return new(unzipper) }}

// unzip returns bytes that are good until the next call.
func (u *unzipper) unzip(b []byte) ([]byte, error) {
	u.in.Reset(b)
	u.out.Reset()
	var err error
	if u.r == nil {
		u.r, err = gzip.NewReader(&u.in)
	} else {
		err = u.r.Reset(&u.in)
	}
	if err != nil {
		return nil, fmt.Errorf("read gzip: %w", err)
	}
	if _, err := io.Copy(&u.out, u.r); err != nil {
		return nil, fmt.Errorf("read gzip: %w", err)
	}
	if u.in.Len() > 0 {
		return nil, errors.New("read gzip: more behind its end")
	}
	return u.out.Bytes(), nil
}
