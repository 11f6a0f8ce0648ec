package app

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"

	"stap-exporter/test/harness"
)

// fakeSystemTap creates stap and stapbpf that answer --version, and returns the
// path of stap. Scripts of these tests are executable and do not call them.
func fakeSystemTap(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"stap", "stapbpf"} {
		text := "#!/bin/sh\necho 'Systemtap translator/driver (version 4.8/0.188)' >&2\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "stap")
}

// parse returns the options of an exporter of these tests, with more flags.
func parse(t *testing.T, scripts string, flags ...string) Options {
	t.Helper()
	opts, err := ParseFlags(append([]string{
		"--scripts=" + scripts,
		"--cache.dir=" + filepath.Join(t.TempDir(), "cache"),
		"--web.listen-address=127.0.0.1:0",
		"--stap.path=" + fakeSystemTap(t),
		"--script.runtime=bpf",
	}, flags...), "test", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	opts.subreaper = false // this process has other children, too
	return opts
}

// running is an exporter that runs in this process.
type running struct {
	t    *testing.T
	app  *App
	url  string
	stop func()
	done chan error // gets what Run returns
}

func start(t *testing.T, opts Options) *running {
	t.Helper()
	a, err := New(opts, zaptest.NewLogger(t, zaptest.Level(zapcore.InfoLevel)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	r := &running{
		t:    t,
		app:  a,
		url:  "http://" + a.Addresses()[0].String(),
		stop: stop,
		done: make(chan error, 1),
	}
	go func() { r.done <- a.Run(ctx) }()
	return r
}

func (r *running) get(path string) (code int, body string) {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.url+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", "30")
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return reply.StatusCode, string(text)
}

func (r *running) shutdown() {
	r.t.Helper()
	r.stop()
	if err := <-r.done; err != nil {
		r.t.Errorf("run: %v", err)
	}
	if err := r.app.Shutdown(r.t.Context()); err != nil {
		r.t.Errorf("shutdown: %v", err)
	}
}

func addScript(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// A second exporter of the same instance follows the first, so that the test
// fails if the lock, the port or a script's residue stays.
func TestNewRunShutdown(t *testing.T) {
	dir := t.TempDir()
	addScript(t, dir, "a.stp", harness.StandInScript("good"))
	opts := parse(t, dir)
	for _, name := range []string{"b.stp", "c.stp"} {
		r := start(t, opts)
		if code, body := r.get("/a.stp"); code != http.StatusOK || !strings.Contains(body, "good_seq ") {
			t.Errorf("a.stp: %d %s", code, body)
		}
		addScript(t, dir, name, harness.StandInScript("good"))
		if err := r.app.Reload(); err != nil {
			t.Error(err)
		}
		if code, body := r.get("/" + name); code != http.StatusOK {
			t.Errorf("%s after a reload: %d %s", name, code, body)
		}
		if code, body := r.get("/metrics"); code != http.StatusOK ||
			!strings.Contains(body, `stap_exporter_build_info{version="test"} 1`) {
			t.Errorf("metrics: %d", code)
		}
		r.shutdown()
		opts.listen = []string{r.app.Addresses()[0].String()}
	}
}

// A canceled Shutdown kills a script that ignores SIGTERM.
func TestShutdownKills(t *testing.T) {
	dir := t.TempDir()
	addScript(t, dir, "stubborn-autostart.stp", "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 0.1; done\n")
	r := start(t, parse(t, dir))
	harness.Eventually(t, "the script starts", func() bool {
		_, body := r.get("/api/v1/scripts/stubborn-autostart.stp")
		return strings.Contains(body, `"state": "starting"`) && !strings.Contains(body, `"os_pid": 0`)
	})
	r.stop()
	if err := <-r.done; err != nil {
		t.Errorf("run: %v", err)
	}
	begun := time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.app.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if took := time.Since(begun); took > 4*time.Second { // SIGKILL follows a SIGTERM after 5 s
		t.Errorf("shutdown took %v", took)
	}
}

// Nothing stays open when New fails, whatever it had opened before.
func TestNewFails(t *testing.T) {
	dir := t.TempDir()
	addScript(t, dir, "a.stp", harness.StandInScript("good"))
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().String()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	good := parse(t, dir)
	for name, c := range map[string]struct {
		change func(*Options)
		config bool
		want   string
	}{
		"no script directory": {func(o *Options) { o.scripts = dir + "/none" }, true, "does not exist"},
		"cache below a file":  {func(o *Options) { o.cacheDir = file + "/cache" }, true, "create cache directory"},
		"no web config":       {func(o *Options) { o.webConfig = file + ".none" }, true, "no such file"},
		"no systemd socket":   {func(o *Options) { o.systemdSocket = true }, true, "systemd passed no socket"},
		"port taken":          {func(o *Options) { o.listen = []string{port} }, false, "address already in use"},
		"no stap":             {func(o *Options) { o.stap = file + ".none" }, true, "systemtap is not installed"},
	} {
		t.Run(name, func(t *testing.T) {
			opts := good
			c.change(&opts)
			a, err := New(opts, zap.NewNop())
			if err == nil {
				t.Fatal("no error")
			}
			_, config := errors.AsType[ConfigError](err)
			if a != nil || config != c.config || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, a ConfigError: %v", err, config)
			}
		})
	}
	start(t, good).shutdown()
}

// record is what the handlers of signals did.
type record struct {
	mu    sync.Mutex
	calls []string
}

func (r *record) call(name string) func() {
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.calls = append(r.calls, name)
	}
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.calls, " ")
}

func TestSignals(t *testing.T) {
	for _, c := range []struct{ signals, want string }{
		{"TERM", "stop"},
		{"TERM TERM", "stop kill"},
		{"HUP HUP TERM", "reload reload stop"},
		{"TERM HUP TERM", "stop kill"},
		{"failure TERM", "kill"},
	} {
		t.Run(c.signals, func(t *testing.T) {
			received := signals{terminate: make(chan os.Signal), hangUp: make(chan os.Signal)}
			var did record
			var log bytes.Buffer
			running, stop := context.WithCancel(t.Context())
			defer stop()
			done := make(chan struct{})
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				received.handle(handlers{
					stop:     func() { did.call("stop")(); stop() },
					kill:     did.call("kill"),
					reload:   did.call("reload"),
					stopping: func() bool { return running.Err() != nil },
					log:      NewLogger(Options{}, &log),
				}, done)
			}()
			for name := range strings.FieldsSeq(c.signals) {
				switch name {
				case "TERM":
					received.terminate <- os.Interrupt
				case "HUP":
					received.hangUp <- os.Interrupt
				case "failure":
					stop()
				}
			}
			close(done)
			<-ended
			if got := did.String(); got != c.want {
				t.Errorf("%s: %s, want %s", c.signals, got, c.want)
			}
		})
	}
}
