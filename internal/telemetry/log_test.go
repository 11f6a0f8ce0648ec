package telemetry

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"stap-exporter/internal/scrape"
)

func TestLog(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	listen := newRecorder(zap.New(core)).Listener("a.stp")
	now := time.Unix(1_700_000_000, 0)
	for _, tt := range []struct {
		event scrape.Event
		key   string // of the field that want ends with
		want  string
	}{
		{
			scrape.StateChanged{From: scrape.Idle, To: scrape.Starting, OSPID: 42},
			"os_pid", "info: script state changed: 42",
		},
		{
			scrape.StateChanged{To: scrape.BackingOff, Time: now, RetryAt: now.Add(time.Second)},
			"retry_in", "info: script state changed: 1s",
		},
		{
			scrape.StateChanged{From: scrape.Running, To: scrape.Stopped},
			"state", "debug: script state changed: stopped",
		},
		{
			scrape.StateChanged{From: scrape.BackingOff, To: scrape.BackingOff, Cause: scrape.CauseRestarted},
			"cause", "debug: script state changed: actor restarted",
		},
		{
			scrape.ChildEnded{End: scrape.End{Cause: scrape.EndStopped, Run: 7}},
			"run", "info: child ended: 7",
		},
		{
			scrape.ChildEnded{End: scrape.End{Cause: scrape.EndFailed, Reason: "exit code 1"}},
			"reason", "warn: child ended unexpectedly: exit code 1",
		},
		{
			scrape.ChildEnded{End: scrape.End{Cause: scrape.EndStopped}, Residue: []string{"module x"}},
			"residue", "error: child ended and left residue: [module x]",
		},
		{scrape.ScriptReplaced{}, "script", "info: script replaced by a new version of its file: a.stp"},
		{scrape.ScriptRefused{Reason: "unsafe"}, "error", "warn: script refused: unsafe"},
		{
			scrape.VersionRefused{Reason: "parse error"},
			"error", "warn: new version of a script refused, the old one keeps running: parse error",
		},
		{
			scrape.CrashLoopChanged{Looping: true, Failures: 5},
			"consecutive_failures", "warn: script entered a crash loop: 5",
		},
		{scrape.CrashLoopChanged{Cause: "healthy"}, "cause", "info: script left its crash loop: healthy"},
		{scrape.ActorFailed{Stack: "goroutine 1"}, "stack", "error: script actor failed: goroutine 1"},
	} {
		listen(tt.event)
		lines := logs.TakeAll()
		if len(lines) != 1 {
			t.Fatalf("%#v: %d lines", tt.event, len(lines))
		}
		fields := lines[0].ContextMap()
		got := fmt.Sprintf("%s: %s: %v", lines[0].Level, lines[0].Message, fields[tt.key])
		if got != tt.want || fields["script"] != "a.stp" {
			t.Errorf("%#v: got %q of %v, want %q", tt.event, got, fields["script"], tt.want)
		}
	}
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
