package stapout

import (
	"bytes"
	"strings"
	"sync"
)

const (
	keepBytes  = 64 << 10 // kept of a child's output
	maxLine    = 4 << 10  // bytes; of a longer line only the beginning is parsed
	keepErrors = 8        // error lines that are kept although they came before the kept output
)

// Capture keeps the last 64 KiB that a child wrote and follows stap's passes in
// it. Its methods may be called from any goroutine.
type Capture struct {
	mu sync.Mutex
	// At most 2*keepBytes. When it is full, the older half is dropped, so each
	// byte is copied at most once.
	kept  []byte
	lines int    // line ends seen since the start
	line  []byte // the beginning of the line that is not complete yet
	pass  int    // see parsePass; 0 before the first

	// The last keepErrors error lines: the output of a chatty script would push
	// them out of kept.
	errors []errorLineAt

	news chan struct{} // holds one element after pass has changed
	log  *LineLog      // may be nil
}

// errorLineAt is an error line and the number of line ends before it.
type errorLineAt struct {
	text   string
	before int
}

// NewCapture returns a Capture whose lines go to log, which may be nil.
func NewCapture(log *LineLog) *Capture {
	return &Capture{news: make(chan struct{}, 1), log: log}
}

// Write keeps and logs what a child wrote. It copies p and never fails.
func (c *Capture) Write(p []byte) (int, error) {
	c.log.write(c.keep(p)) // outside the lock, because it may block
	return len(p), nil
}

// Flush logs an unfinished last line, and how many lines were not logged. The
// caller has called Write for the last time.
func (c *Capture) Flush() {
	c.mu.Lock()
	line, ok := c.log.take(c.line)
	c.mu.Unlock()
	if ok {
		c.log.write([]logLine{line})
	}
	c.log.flush()
}

// keep adds p to the kept output and returns the lines to log.
func (c *Capture) keep(p []byte) (out []logLine) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.kept)+len(p) > 2*keepBytes {
		c.kept = append(c.kept[:0], c.kept[max(0, len(c.kept)-keepBytes):]...)
	}
	c.kept = append(c.kept, p...)
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		part := p
		if i >= 0 {
			part = p[:i]
		}
		c.line = append(c.line, part[:min(len(part), maxLine-len(c.line))]...)
		if i < 0 {
			return out
		}
		if line, ok := c.endLine(); ok {
			out = append(out, line)
		}
		p = p[i+1:]
	}
	return out
}

// endLine handles the complete line in c.line, with c.mu held, and returns what
// to log of it.
func (c *Capture) endLine() (out logLine, ok bool) {
	if mayBeError(c.line) {
		if len(c.errors) == keepErrors {
			c.errors = append(c.errors[:0], c.errors[1:]...)
		}
		c.errors = append(c.errors, errorLineAt{text: string(c.line), before: c.lines})
	}
	c.lines++
	out, ok = c.log.take(c.line)
	if pass := parsePass(string(c.line)); pass > c.pass {
		c.pass = pass
		select {
		case c.news <- struct{}{}:
		default:
		}
	}
	c.line = c.line[:0]
	return out, ok
}

// News holds one element after the pass has changed.
func (c *Capture) News() <-chan struct{} { return c.news }

// Pass returns the pass that stap is in, or 0 before it has printed one.
func (c *Capture) Pass() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pass
}

// Text returns the kept output from the beginning of a line. Error lines from
// before it come first. before is the number of other lines that are missing.
func (c *Capture) Text() (text string, before int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := c.kept
	if len(kept) > keepBytes {
		kept = kept[len(kept)-keepBytes:]
	}
	text = string(kept)
	if before = c.lines - strings.Count(text, "\n"); before > 0 {
		_, text, _ = strings.Cut(text, "\n")
		before++
		var errorLines strings.Builder
		for _, e := range c.errors {
			if e.before < before {
				errorLines.WriteString(e.text + "\n")
			}
		}
		before -= strings.Count(errorLines.String(), "\n")
		text = errorLines.String() + text
	}
	return text, before
}

// Tail returns the useful tail of the output so far.
func (c *Capture) Tail() []string { return UsefulTail(c.Text()) }

// mayBeError reports whether a line may be an error of SystemTap. It runs
// for every line and must be cheap.
func mayBeError(line []byte) bool {
	return bytes.Contains(line, []byte("ERROR")) || bytes.HasPrefix(line, []byte("WARNING: ")) ||
		bytes.Contains(line, []byte(" error:"))
}
