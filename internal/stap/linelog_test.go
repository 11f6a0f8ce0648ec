package stap

import (
	"strings"
	"testing"
	"time"

	"stap-exporter/internal/staptest"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func newObserved(level zapcore.Level) (*lineLog, *observer.ObservedLogs, *time.Time) {
	core, logs := observer.New(level)
	l := newLineLog(zap.New(core))
	now := time.Unix(1000, 0)
	l.now = func() time.Time { return now }
	return l, logs, &now
}

func TestOutputIsLoggedAtARate(t *testing.T) {
	l, logs, now := newObserved(zapcore.InfoLevel)
	o := newOutput(l)
	for range 100 {
		_, _ = o.Write([]byte("Pass 1: parsed user script\nchatter\n\n"))
	}
	if n := logs.Len(); n != logBurst {
		t.Errorf("%d lines logged of a burst", n)
	}
	*now = now.Add(2 * logPeriod)
	_, _ = o.Write([]byte("a\nb\nc\n"))
	last := logs.All()[logBurst:]
	if len(last) != 2 || last[0].ContextMap()["line"] != "a" ||
		last[0].ContextMap()["left_out"] != int64(100-logBurst) ||
		last[1].ContextMap()["left_out"] != nil {
		t.Errorf("then: %v", last)
	}
	o.flush()
	if last := logs.All()[logBurst+2:]; len(last) != 1 || last[0].ContextMap()["left_out"] != int64(1) {
		t.Errorf("at the end: %v", last)
	}
}

func TestOutputIsLoggedToItsEnd(t *testing.T) {
	l, logs, _ := newObserved(zapcore.DebugLevel)
	o := newOutput(l)
	_, _ = o.Write([]byte("Pass 1: parsed user script\nWARNING: x\nno end"))
	o.flush()
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

func TestFloodIsNotLogged(t *testing.T) {
	core, logs := observer.New(zapcore.InfoLevel)
	l := newLab(t, "stapbpf-floods", func(c *Config) { c.Logger = zap.New(core) })
	begun := time.Now()
	r := l.start(l.script("m1"))
	r.ready()
	staptest.WaitFor(
		t,
		"the burst is logged",
		func() bool { return logs.FilterMessage("script output").Len() >= logBurst },
	)
	r.Stop(nil)
	r.exited()
	lines := logs.FilterMessage("script output")
	if n, most := lines.Len(), logBurst+2+int(time.Since(begun)/logPeriod); n > most {
		t.Errorf("%d lines logged, more than %d", n, most)
	}
	if f := lines.All()[0].ContextMap(); f["script"] != "script.stp" || len(f["line"].(string)) > tailWidth+3 {
		t.Errorf("logged: %v", f)
	}
	if logs.FilterMessage("script output left out").Len() == 0 {
		t.Error("what was left out is not said")
	}
}
