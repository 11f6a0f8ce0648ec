package stapout

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// newObserved returns a LineLog, its log, and the clock that it reads.
func newObserved(level zapcore.Level) (*LineLog, *observer.ObservedLogs, *time.Time) {
	core, logs := observer.New(level)
	l := NewLineLog(zap.New(core))
	now := time.Unix(1000, 0)
	l.now = func() time.Time { return now }
	return l, logs, &now
}

func TestLineLogBoundsTheRate(t *testing.T) {
	l, logs, now := newObserved(zapcore.InfoLevel)
	c := NewCapture(l)
	for range 100 {
		_, _ = c.Write([]byte("Pass 1: parsed user script\nchatter\n\n"))
	}
	if n := logs.Len(); n != logBurst {
		t.Errorf("%d lines logged of a burst, want %d", n, logBurst)
	}
	*now = now.Add(2 * logPeriod)
	_, _ = c.Write([]byte("a\nb\nc\n"))
	last := logs.All()[logBurst:]
	if len(last) != 2 || last[0].ContextMap()["line"] != "a" ||
		last[0].ContextMap()["lines_dropped"] != int64(100-logBurst) ||
		last[1].ContextMap()["lines_dropped"] != nil {
		t.Errorf("after two periods: %v", last)
	}
	c.Flush()
	if last := logs.All()[logBurst+2:]; len(last) != 1 || last[0].ContextMap()["lines_dropped"] != int64(1) {
		t.Errorf("after the flush: %v", last)
	}
}

func TestLineLogFlush(t *testing.T) {
	l, logs, _ := newObserved(zapcore.DebugLevel)
	c := NewCapture(l)
	_, _ = c.Write([]byte("Pass 1: parsed user script\nWARNING: x\nno end"))
	c.Flush()
	var got []string
	for _, e := range logs.All() {
		got = append(got, e.Level.String()+" "+e.ContextMap()["line"].(string))
	}
	if s := strings.Join(got, "; "); s != "debug Pass 1: parsed user script; info WARNING: x; info no end" {
		t.Errorf("logged: %s", s)
	}
}

func TestVisible(t *testing.T) {
	for line, want := range map[string]string{
		"plain ü":                        "plain ü",
		"\x1b[31mERROR:\x1b[0m x\r":      "ERROR: x",
		"a\x00b\x07\tc\x7f\xff":          `a\x00b\x07    c\x7f\xff`,
		"bell\u0085 and \u202e":          `bell\u0085 and \u202e`,
		"  indented  ":                   "  indented",
		strings.Repeat("x", 2*tailWidth): strings.Repeat("x", tailWidth) + "…",
		strings.Repeat("x", tailWidth):   strings.Repeat("x", tailWidth),
	} {
		if got := visible([]byte(line)); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}
