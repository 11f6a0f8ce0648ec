package supervisor

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"stap-exporter/internal/scrape"
	"stap-exporter/internal/stap"
)

// manualClock stands still until the test advances it.
type manualClock struct {
	mu     sync.Mutex
	now    time.Time
	timers map[*manualTimer]bool
}

type manualTimer struct {
	at time.Time
	f  func()
}

func newManualClock() *manualClock {
	return &manualClock{now: time.Now(), timers: map[*manualTimer]bool{}}
}

func (c *manualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *manualClock) AfterFunc(d time.Duration, f func()) (stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &manualTimer{at: c.now.Add(d), f: f}
	c.timers[t] = true
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.timers, t)
	}
}

func (c *manualClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	for t := range c.timers {
		if !t.at.After(c.now) {
			delete(c.timers, t)
			go t.f()
		}
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

// A bug that hits at every event restarts the actor five times in ten seconds
// at most. Then the script is in back-off: its requests get the reason at once,
// and the other scripts do not notice. After the back-off it is tried again.
func TestBugAtEveryEvent(t *testing.T) {
	h, clock, log := newHost(), newManualClock(), newBrokenLog("b.stp")
	s := startTree(t, h, Config{
		Scripts: named("b.stp", "c.stp"),
		Clock:   clock,
		Logger:  zap.New(log),
	})
	log.broken.Store(true)
	if a := s.Scrape([]byte("b.stp"), patient()); !errors.Is(a.Err, scrape.ErrInternal) {
		t.Errorf("the request that meets the bug: %v", a.Err)
	}
	eventually(t, "the actor is dormant", func() bool { return status(t, s, "b.stp").ActorFailed })
	for range 100 { // ten seconds
		begun := time.Now()
		a := s.Scrape([]byte("b.stp"), patient())
		if !errors.Is(a.Err, scrape.ErrInternal) || !strings.Contains(a.Err.Error(), "log is broken") {
			t.Fatalf("b.stp: %v", a.Err)
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Fatalf("b.stp: answered after %v", took)
		}
		if a.Status.State != scrape.BackingOff || !a.Status.RetryAt.After(clock.Now()) {
			t.Fatalf("b.stp: %s until %v", a.Status.State, a.Status.RetryAt)
		}
		if a := s.Scrape([]byte("c.stp"), patient()); a.Err != nil {
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
	eventually(t, "it is tried again", func() bool { return restarts(t, s) > before && status(t, s, "b.stp").ActorFailed })
	if n := restarts(t, s) - before; n > 5 {
		t.Errorf("%d restarts after the back-off", n)
	}
	log.broken.Store(false)
	clock.advance(5 * time.Minute)
	eventually(t, "it works again", func() bool { return s.Scrape([]byte("b.stp"), patient()).Err == nil })
}

// The same in real time, with a child that runs: it is ended, and nothing
// restarts thousands of times a second.
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
	f, h, log := newScripts(t, "b.stp"), newHost(), newBrokenLog("b.stp")
	s := f.serve(h, Config{Logger: zap.New(log), Clock: newManualClock()})
	log.broken.Store(true)
	s.Scrape([]byte("b.stp"), patient())
	eventually(t, "the actor is dormant", func() bool { return status(t, s, "b.stp").ActorFailed })
	log.broken.Store(false)
	f.write("b.stp", "probe end {}\n")
	reload(t, s)
	eventually(t, "it works again", func() bool { return s.Scrape([]byte("b.stp"), patient()).Err == nil })
}

// The end of an autostart script's child is a failure of its actor, which the
// strategy counts: a crash loop after five.
func TestChildEndsAreCounted(t *testing.T) {
	h, clock := newHost(), newManualClock()
	h.onStart = func(p *process) { go p.exit(stap.Exit{Code: 1, Stage: stap.StageRun}) }
	s := startTree(t, h, Config{Scripts: named("autostart.stp"), Clock: clock, Logger: zap.NewNop()})
	for n := 1; n <= 6; n++ {
		eventually(t, "it is in back-off", func() bool {
			st := s.Statuses()[0]
			return st.State == scrape.BackingOff && st.ConsecutiveFailures == n
		})
		st := s.Statuses()[0]
		if st.CrashLoop != (n >= 5) || st.ActorFailed || restarts(t, s) < n {
			t.Errorf("failure %d: crash loop %v, dormant %v, %d restarts", n, st.CrashLoop, st.ActorFailed, restarts(t, s))
		}
		clock.advance(st.Backoff)
	}
}

// Shutdown may be called again, while it is under way and after it.
func TestShutdownTwice(t *testing.T) {
	h := newHost()
	s, err := StartWith(Config{Scripts: named("autostart.stp", "b.stp"), ReadTimeout: time.Second, Logger: zap.NewNop()}, leaver{h})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			if residue := s.Shutdown(t.Context()); len(residue) != 1 || residue[0] != "autostart.stp: module x" {
				t.Errorf("residue: %q", residue)
			}
		})
	}
	all.Wait()
	if residue := s.Shutdown(t.Context()); len(residue) != 1 || h.alive() != 0 {
		t.Errorf("residue after the shutdown: %q, %d alive", residue, h.alive())
	}
}

// A second Shutdown does not wait for longer than its context.
func TestSecondShutdownHasItsOwnDeadline(t *testing.T) {
	h := newHost()
	may := make(chan struct{})
	s, err := StartWith(
		Config{Scripts: named("autostart.stp"), ReadTimeout: time.Second, Logger: zap.NewNop()},
		slowEnder{h, may, new(atomic.Bool)},
	)
	if err != nil {
		t.Fatal(err)
	}
	first := make(chan []string)
	go func() { first <- s.Shutdown(t.Context()) }()
	<-s.ending
	expired, cancel := context.WithCancel(t.Context())
	cancel()
	if residue := s.Shutdown(expired); len(residue) != 1 || !strings.Contains(residue[0], "did not end") {
		t.Errorf("residue at the deadline: %q", residue)
	}
	close(may)
	if residue := <-first; residue != nil {
		t.Errorf("residue: %q", residue)
	}
}

// With a failed root everything is ended all the same, and a reload says why it
// cannot.
func TestShutdownWithAFailedRoot(t *testing.T) {
	f, h := newScripts(t, "autostart.stp", "b.stp"), newHost()
	s := f.serve(h, Config{Logger: zap.NewNop()})
	s.system.Root.Send(s.rootPID, poison{})
	<-s.Fatal()
	f.write("c.stp", "probe begin {}\n")
	if err := s.Reload(); err == nil || !strings.Contains(err.Error(), "root actor has failed") {
		t.Errorf("reload: %v", err)
	}
	if residue := s.Shutdown(t.Context()); residue != nil || h.alive() != 0 {
		t.Errorf("residue: %q, %d alive", residue, h.alive())
	}
}
