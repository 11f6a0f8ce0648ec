package telemetry

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"stap-exporter/internal/scrape"
)

func TestLog(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	listen := newRecorder(zap.New(core)).Listener("a.stp")
	now := time.Unix(1_700_000_000, 0)
	for _, tt := range []struct {
		event   scrape.Event
		level   zapcore.Level
		message string
		field   string
		value   any
	}{
		{allEvents()[0], zap.InfoLevel, "script state changed", "os_pid", int64(42)},
		{
			scrape.StateChanged{To: scrape.BackingOff, Time: now, RetryAt: now.Add(time.Second)},
			zap.InfoLevel, "script state changed", "retry_in", time.Second,
		},
		{
			scrape.StateChanged{From: scrape.Running, To: scrape.Stopped},
			zap.DebugLevel, "script state changed", "state", "stopped",
		},
		{
			scrape.StateChanged{From: scrape.Idle, To: scrape.Idle, Cause: scrape.CauseRestarted},
			zap.DebugLevel, "script state changed", "cause", "actor restarted",
		},
		{
			scrape.ChildEnded{End: scrape.End{Cause: scrape.EndStopped, Run: 7}},
			zap.InfoLevel, "child ended", "run", uint64(7),
		},
		{
			scrape.ChildEnded{End: scrape.End{Cause: scrape.EndFailed, Reason: "exit code 1"}},
			zap.WarnLevel, "child ended by itself", "reason", "exit code 1",
		},
		{
			scrape.ChildEnded{End: scrape.End{Cause: scrape.EndStopped}, Residue: []string{"module x"}},
			zap.ErrorLevel, "child ended and left residue", "residue",
			[]any{"module x"},
		},
		{
			scrape.ScriptReplaced{},
			zap.InfoLevel, "script replaced by a new version of its file", "script", "a.stp",
		},
		{scrape.ScriptRefused{Reason: "unsafe"}, zap.WarnLevel, "script refused", "error", "unsafe"},
		{
			scrape.VersionRefused{Reason: "parse error"},
			zap.WarnLevel, "new version of a script refused, the old one keeps running", "reason", "parse error",
		},
		{
			scrape.CrashLoopChanged{Looping: true, Failures: 5},
			zap.WarnLevel, "script entered a crash loop", "consecutive_failures", int64(5),
		},
		{
			scrape.CrashLoopChanged{Cause: "healthy"},
			zap.InfoLevel, "script left its crash loop", "cause", "healthy",
		},
		{scrape.ActorFailed{Stack: "goroutine 1"}, zap.ErrorLevel, "script actor failed", "stack", "goroutine 1"},
	} {
		listen(tt.event)
		lines := logs.TakeAll()
		if len(lines) != 1 {
			t.Fatalf("%#v: %d lines", tt.event, len(lines))
		}
		line := lines[0]
		fields := line.ContextMap()
		if line.Level != tt.level || line.Message != tt.message || fields["script"] != "a.stp" {
			t.Errorf("%#v: %s %q of %v", tt.event, line.Level, line.Message, fields["script"])
		}
		if got := fields[tt.field]; !equal(got, tt.value) {
			t.Errorf("%#v: %s is %#v, want %#v", tt.event, tt.field, got, tt.value)
		}
	}
}

func equal(a, b any) bool {
	if list, ok := a.([]any); ok {
		return len(list) == 1 && list[0] == b.([]any)[0]
	}
	return a == b
}

// The log names the first line that is dropped, and that a page comes close to
// SystemTap's limit, each once a minute however many pages there are.
func TestLogOfPages(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	listen := newRecorder(zap.New(core)).Listener("a.stp")
	for range 3 {
		listen(scrape.ReadEnded{Page: sanitized("good 1\nbad x\n")})
		listen(scrape.ReadEnded{Page: sanitized("good 1\n" + strings.Repeat("# filler\n", 7000))})
		listen(scrape.ReadEnded{Page: sanitized("good 1\n")})
		listen(scrape.ReadEnded{Err: scrape.ErrReadFailed})
	}
	dropped := logs.FilterMessage("lines dropped from a script's metrics").All()
	if len(dropped) != 1 || dropped[0].ContextMap()["first"] != `bad-value in line 2: "bad x"` {
		t.Errorf("dropped lines: %v", dropped)
	}
	near := logs.FilterMessage("script's metrics are close to the length at which SystemTap ends the script").All()
	if len(near) != 1 || near[0].ContextMap()["headroom_bytes"] != int64(65535-63007) {
		t.Errorf("the limit: %v", near)
	}
	if logs.Len() != 2 {
		t.Errorf("%d lines", logs.Len())
	}
}
