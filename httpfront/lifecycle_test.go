package httpfront

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"

	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
)

// fakeLifecycle records the calls, and fails for some names.
type fakeLifecycle struct {
	mu    sync.Mutex
	calls []string
	fail  error // of Reload
}

func (f *fakeLifecycle) record(what, name string) error {
	switch name {
	case "none.stp":
		return scrape.ErrUnknown
	case "late.stp":
		return scrape.ErrShuttingDown
	case "wrong.stp":
		return fmt.Errorf("%w: line 1", script.ErrInvalidHeader)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, what+" "+name)
	return nil
}

func (f *fakeLifecycle) StartScript(name string) error   { return f.record("start", name) }
func (f *fakeLifecycle) StopScript(name string) error    { return f.record("stop", name) }
func (f *fakeLifecycle) RestartScript(name string) error { return f.record("restart", name) }
func (f *fakeLifecycle) Reload() error                   { return errors.Join(f.record("reload", ""), f.fail) }

func (f *fakeLifecycle) last() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.calls) == 0 {
		return ""
	}
	return f.calls[len(f.calls)-1]
}

func startLifecycle(t *testing.T, f *fakeLifecycle, enabled bool) string {
	t.Helper()
	return serve(t, New(Config{
		Scripts:         &fakeScripts{},
		Logger:          zap.NewNop(),
		Lifecycle:       f,
		EnableLifecycle: enabled,
	}))
}

func TestLifecycle(t *testing.T) {
	f := &fakeLifecycle{}
	addr := startLifecycle(t, f, true)
	for _, c := range []struct {
		target, call string
		code         int
		contains     string
	}{
		{"/api/v1/scripts/a.stp/start", "start a.stp", 202, `"action": "start"`},
		{"/api/v1/scripts/a.stp/stop", "stop a.stp", 202, `"script": "a.stp"`},
		{"/api/v1/scripts/with%20space.stp/restart", "restart with space.stp", 202, `"with space.stp"`},
		{"/-/reload", "reload ", 200, "reloaded"},
		{"/api/v1/scripts/none.stp/start", "", 404, "script not found"},
		{"/api/v1/scripts/late.stp/stop", "", 503, "shutting down"},
		{"/api/v1/scripts/wrong.stp/start", "", 409, "invalid header: line 1"},
		{"/api/v1/scripts/a.stp/explode", "", 404, ""},
		{"/api/v1/scripts/a.stp/start/x", "", 404, ""},
		{"/api/v1/scripts/a.stp", "", 405, ""},
	} {
		before := f.last()
		r := get(t, addr, "POST", c.target, "Content-Length: 0")
		if c.call == "" {
			c.call = before
		}
		if r.code != c.code || !strings.Contains(r.body, c.contains) || f.last() != c.call {
			t.Errorf("%s: %d %q, last call %q", c.target, r.code, r.body, f.last())
		}
	}
	for _, target := range []string{"/-/reload", "/api/v1/scripts/a.stp/start"} {
		if r := get(t, addr, "GET", target); r.code != 405 || r.header.Get("Allow") != "POST" {
			t.Errorf("GET %s: %d, Allow %q", target, r.code, r.header.Get("Allow"))
		}
	}
}

func TestLifecycleOff(t *testing.T) {
	f := &fakeLifecycle{}
	addr := startLifecycle(t, f, false)
	for _, target := range []string{"/-/reload", "/api/v1/scripts/a.stp/start", "/api/v1/scripts/none.stp/stop"} {
		r := get(t, addr, "POST", target, "Content-Length: 0")
		if r.code != 403 || !strings.Contains(r.body, "--web.enable-lifecycle") {
			t.Errorf("%s: %d %q", target, r.code, r.body)
		}
	}
	if f.last() != "" {
		t.Errorf("called %q", f.last())
	}
}

func TestReloadThatFails(t *testing.T) {
	addr := startLifecycle(t, &fakeLifecycle{fail: errors.New("reload scripts: no directory")}, true)
	r := get(t, addr, "POST", "/-/reload", "Content-Length: 0")
	if r.code != 500 || r.body != "reload scripts: no directory\n" {
		t.Errorf("%d %q", r.code, r.body)
	}
}
