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

// Checks select the checks of a body, beside that it parses.
type Checks struct {
	Stamped  bool // it is of a stand-in script, with the stamp of one read
	Fresh    bool // with Stamped: the read began after the request
	Counters bool // no sample is smaller than in the reply before
}

// The kinds of wrong replies.
const (
	wrongConnection = "connection" // no reply
	wrongStatus     = "status"     // not 200
	wrongLate       = "late"       // after the timeout in the request
	// A 200 without a body, after which Prometheus marks every series as stale.
	wrongEmpty     = "empty"
	wrongEncoding  = "encoding"           // not as the header says
	wrongParse     = "does not parse"     // Prometheus would reject it
	wrongTruncated = "truncated"          // or of two reads
	wrongOld       = "older than request" // the read began before the request
	wrongBackwards = "backwards"          // of an earlier read than the reply before
)

// reply is the reply to one request.
type reply struct {
	status      int
	contentType string
	encoding    string
	body        []byte
	sent, done  int64 // body.Monotonic before the request was sent, and with the whole body here
}

// history is what one replica has received of one script.
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

// wrong is the error of a wrong reply.
type wrong struct{ kind, detail string }

func (w *wrong) Error() string { return w.kind + ": " + w.detail }

// check returns nil, or a *wrong. age is the age of the data when the reply was
// complete; 0: unknown.
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

// checkSamples parses the text and, with Counters, compares each sample with
// the one before.
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
		return nil // two requests at a time: either may have been read first
	}
	for name, v := range now {
		if before, ok := h.seen[name]; ok && v < before {
			return &wrong{wrongBackwards, fmt.Sprintf("%s from %v to %v", name, before, v)}
		}
	}
	h.known, h.seen, h.done = true, now, r.done
	return nil
}

// shape is a text that was parsed, and the offsets of its numbers. A text that
// differs only in these numbers parses, too.
type shape struct {
	text []byte
	at   []int // offsets of the digits of begin, read time and end
}

// read returns the stamp of a text. It parses the text, unless it has the shape
// of one that was parsed before.
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

// unzip returns bytes that are valid until the next call.
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
		return nil, errors.New("read gzip: data after its end")
	}
	return u.out.Bytes(), nil
}
