package supervisor

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"stap-exporter/internal/runner"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/toolchain"
)

// An autostart script that ends at once is in back-off; its requests are
// answered at once and the other scripts do not notice.
func TestAutostartThatEndsAtOnce(t *testing.T) {
	h := newHost()
	h.onStart = func(p *process) {
		if p.script.Autostart {
			go p.exit(runner.Exit{Code: 1, Stage: toolchain.StageRun})
			return
		}
		p.ready()
	}
	s := startTree(t, h, Config{Scripts: named("auto.stp", "b.stp")})
	eventually(t, "auto.stp is in back-off", func() bool { return s.Statuses()[0].State == scrape.BackingOff })
	first := s.Scrape([]byte("b.stp"), waiting())
	for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); {
		if a := s.Scrape(
			[]byte("auto.stp"),
			waiting(),
		); !errors.Is(a.Err, scrape.ErrBackingOff) &&
			!errors.Is(a.Err, scrape.ErrNotRunning) {
			t.Fatalf("auto.stp answered %v", a.Err)
		}
		if a := s.Scrape([]byte("b.stp"), waiting()); a.Err != nil {
			t.Fatalf("b.stp answered %v", a.Err)
		}
	}
	if n := h.count("auto.stp"); n > 3 {
		t.Errorf("auto.stp was started %d times", n)
	}
	if h.count("b.stp") != 1 || first.Err != nil {
		t.Errorf("b.stp was started %d times, first answer %v", h.count("b.stp"), first.Err)
	}
}

// Requests that wait when the actor fails are answered then, and not at their
// deadline.
func TestWaitingRequestsSurviveARestart(t *testing.T) {
	h := newHost()
	started := make(chan *process, 9)
	h.onStart = func(p *process) { started <- p }
	s := startTree(t, h, Config{Scripts: named("auto.stp")})
	p := <-started
	answers := make(chan scrape.Answer, 8)
	for range cap(answers) {
		go func() { answers <- s.Scrape([]byte("auto.stp"), waiting()) }()
	}
	// Each is in the mailbox or in the actor, and gets an answer either way.
	p.exit(runner.Exit{Code: 1, Stage: toolchain.StageRun})
	for range cap(answers) {
		if a := <-answers; !errors.Is(a.Err, scrape.ErrBackingOff) {
			t.Errorf("answered %v", a.Err)
		}
	}
	p = <-started
	p.ready()
	eventually(t, "it runs again", func() bool { return s.Statuses()[0].State == scrape.Running })
	if run := s.Statuses()[0].Run; run != 2 {
		t.Errorf("run %d", run)
	}
}

// A bug in one actor costs the requests it holds and its child, and nothing
// else.
func TestBugInAnActor(t *testing.T) {
	h := newHost()
	h.onStart = func(p *process) {
		if p.script.Name == "b.stp" && p.run == 1 {
			panic("a bug")
		}
		p.ready()
	}
	s := startTree(t, h, Config{Scripts: named("b.stp", "c.stp"), Logger: zap.NewNop()})
	if a := s.Scrape([]byte("b.stp"), waiting()); !errors.Is(a.Err, scrape.ErrInternal) {
		t.Errorf("b.stp answered %v", a.Err)
	}
	if a := s.Scrape([]byte("c.stp"), waiting()); a.Err != nil {
		t.Errorf("c.stp answered %v", a.Err)
	}
	delete(h.running, "b.stp") // the start that panicked made no process
	eventually(t, "b.stp works again", func() bool { return s.Scrape([]byte("b.stp"), waiting()).Err == nil })
}

// When the root fails, Fatal delivers an error, and scripts can still be
// scraped.
func TestRootFails(t *testing.T) {
	h := newHost()
	s := startTree(t, h, Config{Scripts: named("auto.stp", "b.stp")})
	s.system.Root.Send(s.rootPID, poison{})
	select {
	case err := <-s.Fatal():
		if err == nil {
			t.Error("no reason")
		}
	case <-time.After(20 * time.Second):
		t.Fatal("no error was delivered")
	}
	if a := s.Scrape([]byte("b.stp"), waiting()); a.Err != nil {
		t.Errorf("b.stp answered %v", a.Err)
	}
	if n := gather(t, s)["stap_exporter_actor_failures_total{kind=root,reason=bug}"]; n != 1 {
		t.Errorf("%v failures of the root are counted", n)
	}
}

// brokenLog panics on each entry about one script, in the goroutine of that
// script's actor, while it is broken.
type brokenLog struct {
	zapcore.Core
	script string
	broken *atomic.Bool
	fields []zapcore.Field // of each entry
}

func newBrokenLog(name string) brokenLog {
	return brokenLog{
		Core:   zapcore.NewNopCore(),
		script: name,
		broken: new(atomic.Bool),
	}
}

func (l brokenLog) With(fields []zapcore.Field) zapcore.Core {
	l.fields = slices.Concat(l.fields, fields)
	return l
}

func (l brokenLog) Enabled(zapcore.Level) bool { return true }

func (l brokenLog) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return c.AddCore(e, l)
}

func (l brokenLog) Write(e zapcore.Entry, fields []zapcore.Field) error {
	for _, f := range slices.Concat(l.fields, fields) {
		if f.Key == "script" && f.String == l.script && l.broken.Load() && e.Message != dormantMessage {
			panic("log is broken")
		}
	}
	return nil
}

// restarts is how often a script's actor was restarted.
func restarts(t *testing.T, s *Supervisor) int {
	t.Helper()
	return int(gather(t, s)["stap_exporter_actor_restarts_total{kind=script}"])
}

// A bug at every event restarts the actor at most five times in ten seconds.
// Then the script is in back-off: its requests get the reason at once, and the
// other scripts do not notice. After the back-off it is tried again.
func TestBugAtEveryEvent(t *testing.T) {
	h, clock, log := newHost(), newManualClock(), newBrokenLog("b.stp")
	s := startTree(t, h, Config{
		Scripts: named("b.stp", "c.stp"),
		Clock:   clock,
		Logger:  zap.New(log),
	})
	log.broken.Store(true)
	if a := s.Scrape([]byte("b.stp"), waiting()); !errors.Is(a.Err, scrape.ErrInternal) {
		t.Errorf("the request that hits the bug: %v", a.Err)
	}
	eventually(t, "the actor is dormant", func() bool { return status(t, s, "b.stp").ActorFailed })
	for range 100 { // ten seconds
		begun := time.Now()
		a := s.Scrape([]byte("b.stp"), waiting())
		if !errors.Is(a.Err, scrape.ErrInternal) || !strings.Contains(a.Err.Error(), "log is broken") {
			t.Fatalf("b.stp: %v", a.Err)
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Fatalf("b.stp: answered after %v", took)
		}
		if a.Status.State != scrape.BackingOff || !a.Status.RetryAt.After(clock.Now()) {
			t.Fatalf("b.stp: %s until %v", a.Status.State, a.Status.RetryAt)
		}
		if a := s.Scrape([]byte("c.stp"), waiting()); a.Err != nil {
			t.Fatalf("c.stp: %v", a.Err)
		}
		clock.advance(100 * time.Millisecond)
	}
	if n := restarts(t, s); n > 5 {
		t.Errorf("%d restarts in ten seconds", n)
	}
	if n := h.count("c.stp"); n != 1 {
		t.Errorf("c.stp was started %d times", n)
	}

	before := restarts(t, s)
	clock.advance(5 * time.Minute)
	eventually(
		t,
		"it is tried again",
		func() bool { return restarts(t, s) > before && status(t, s, "b.stp").ActorFailed },
	)
	if n := restarts(t, s) - before; n > 5 {
		t.Errorf("%d restarts after the back-off", n)
	}
	log.broken.Store(false)
	clock.advance(5 * time.Minute)
	eventually(t, "it works again", func() bool { return s.Scrape([]byte("b.stp"), waiting()).Err == nil })
}

// The same in real time, with a child: it is ended, and the actor is not
// restarted thousands of times a second.
func TestBugWhileAChildRuns(t *testing.T) {
	h, log := newHost(), newBrokenLog("autostart.stp")
	s := startTree(t, h, Config{Scripts: named("autostart.stp"), Logger: zap.New(log)})
	eventually(t, "it runs", func() bool { return s.Statuses()[0].State == scrape.Running })
	log.broken.Store(true)
	if err := s.RestartScript("autostart.stp"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its child has ended", func() bool { return h.alive() == 0 && s.Statuses()[0].ActorFailed })
	time.Sleep(300 * time.Millisecond)
	if n := restarts(t, s); n > 5 {
		t.Errorf("%d restarts", n)
	}
	// the shutdown of startTree ends it in this state
}

// A new version of its file wakes a dormant actor.
func TestNewVersionEndsDormancy(t *testing.T) {
	f, h, log := newDirectory(t, "b.stp"), newHost(), newBrokenLog("b.stp")
	s := f.serve(h, Config{Logger: zap.New(log), Clock: newManualClock()})
	log.broken.Store(true)
	s.Scrape([]byte("b.stp"), waiting())
	eventually(t, "the actor is dormant", func() bool { return status(t, s, "b.stp").ActorFailed })
	log.broken.Store(false)
	f.write("b.stp", "probe end {}\n")
	reload(t, s)
	eventually(t, "it works again", func() bool { return s.Scrape([]byte("b.stp"), waiting()).Err == nil })
}

// The end of an autostart script's child is a failure of its actor, which the
// strategy counts: a crash loop after five.
func TestChildEndsAreCounted(t *testing.T) {
	h, clock := newHost(), newManualClock()
	h.onStart = func(p *process) { go p.exit(runner.Exit{Code: 1, Stage: toolchain.StageRun}) }
	s := startTree(t, h, Config{Scripts: named("autostart.stp"), Clock: clock, Logger: zap.NewNop()})
	for n := 1; n <= 6; n++ {
		eventually(t, "it is in back-off", func() bool {
			st := s.Statuses()[0]
			return st.State == scrape.BackingOff && st.ConsecutiveFailures == n
		})
		st := s.Statuses()[0]
		if st.CrashLoop != (n >= 5) || st.ActorFailed || restarts(t, s) < n {
			t.Errorf(
				"failure %d: crash loop %v, dormant %v, %d restarts",
				n,
				st.CrashLoop,
				st.ActorFailed,
				restarts(t, s),
			)
		}
		clock.advance(st.Backoff)
	}
}
