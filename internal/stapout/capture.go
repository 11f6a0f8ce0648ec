package stapout

import (
	"bytes"
	"strings"
	"sync"
)

const (
	keepBytes  = 64 << 10 // bytes of a child's output that are kept
	maxLine    = 4 << 10  // longer lines are looked at in their first bytes only
	keepErrors = 8        // lines of stap's about what is wrong that are kept beside
)

// Capture keeps the last 64 KiB that a child wrote and follows stap's progress
// in it. Its methods may be called from any goroutine.
type Capture struct {
	mu sync.Mutex
	// at most 2*keepOutput; the older half goes when it is full, which copies
	// each byte at most once
	kept  []byte
	lines int    // line ends seen in all
	line  []byte // the beginning of the line that is not complete yet
	pass  int    // see parsePass; 0 before the first

	errors []errorLineAt // the last keepErrors: a chatty script's own output would push them out

	news chan struct{} // has one element when pass changed
	log  *LineLog      // may be nil
}

// errorLineAt is a line that says what is wrong, and how many line ends came
// before it.
type errorLineAt struct {
	text   string
	before int
}

// NewCapture returns a Capture whose lines go to log, which may be nil.
func NewCapture(log *LineLog) *Capture {
	return &Capture{news: make(chan struct{}, 1), log: log}
}

// Write keeps what a child wrote, and logs its lines.
func (o *Capture) Write(p []byte) (int, error) {
	o.log.write(o.keep(p)) // outside the lock, as it may block
	return len(p), nil
}

// Flush logs the line that has no end, and what was left out.
func (o *Capture) Flush() {
	o.mu.Lock()
	line, ok := o.log.take(o.line)
	o.mu.Unlock()
	if ok {
		o.log.write([]logLine{line})
	}
	o.log.flush()
}

// keep takes what was written, and returns what of it is to be logged.
func (o *Capture) keep(p []byte) (say []logLine) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.kept)+len(p) > 2*keepBytes {
		o.kept = append(o.kept[:0], o.kept[max(0, len(o.kept)-keepBytes):]...)
	}
	o.kept = append(o.kept, p...)
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		part := p
		if i >= 0 {
			part = p[:i]
		}
		o.line = append(o.line, part[:min(len(part), maxLine-len(o.line))]...)
		if i < 0 {
			return say
		}
		if tellsWhy(o.line) {
			if len(o.errors) == keepErrors {
				o.errors = append(o.errors[:0], o.errors[1:]...)
			}
			o.errors = append(o.errors, errorLineAt{string(o.line), o.lines})
		}
		o.lines++
		if line, ok := o.log.take(o.line); ok {
			say = append(say, line)
		}
		if pass := parsePass(string(o.line)); pass > o.pass {
			o.pass = pass
			select {
			case o.news <- struct{}{}:
			default:
			}
		}
		o.line = o.line[:0]
		p = p[i+1:]
	}
	return say
}

// News has one element when the pass has changed.
func (o *Capture) News() <-chan struct{} { return o.news }

// Pass returns the pass that stap is in, 0 when it has not said anything
// yet.
func (o *Capture) Pass() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.pass
}

// Text returns the kept output, from the beginning of a line, after the lines
// before it that say what is wrong, and how many other lines came before it.
func (o *Capture) Text() (text string, before int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	kept := o.kept
	if len(kept) > keepBytes {
		kept = kept[len(kept)-keepBytes:]
	}
	text = string(kept)
	if before = o.lines - strings.Count(text, "\n"); before > 0 {
		_, text, _ = strings.Cut(text, "\n")
		before++
		var why strings.Builder
		for _, e := range o.errors {
			if e.before < before {
				why.WriteString(e.text + "\n")
			}
		}
		before -= strings.Count(why.String(), "\n")
		text = why.String() + text
	}
	return text, before
}

// Tail is the useful tail of what was written so far.
func (o *Capture) Tail() []string { return UsefulTail(o.Text()) }

// tellsWhy is a cheap look, made at each line: does stap, or a part of it, say
// what is wrong?
func tellsWhy(line []byte) bool {
	return bytes.Contains(line, []byte("ERROR")) || bytes.HasPrefix(line, []byte("WARNING: ")) ||
		bytes.Contains(line, []byte(" error:"))
}
