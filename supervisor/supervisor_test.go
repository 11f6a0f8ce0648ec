package supervisor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"stap-exporter/actors"
	"stap-exporter/internal/exposition"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
	"stap-exporter/internal/stap"
)

func TestMain(m *testing.M) {
	// protoactor-go's dead-letter throttle keeps one goroutine for a second
	// after each dead letter.
	const throttle = "github.com/asynkron/protoactor-go/actor."
	// the second: where the compiler has inlined it
	goleak.VerifyTestMain(
		m,
		goleak.IgnoreAnyFunction(throttle+"NewThrottle.func1.1"),
		goleak.IgnoreAnyFunction(throttle+"NewDeadLetter.NewThrottle.func4.1"),
	)
}

// host is a stand-in for SystemTap: runs become ready at once and end when they
// are told to, or when the test says so.
type host struct {
	mu      sync.Mutex
	starts  map[string]int
	running map[string]*process
	trials  sync.WaitGroup
	onStart func(p *process)                // nil: become ready
	onTry   func(s script.Script) stap.Exit // nil: it compiles; called in a goroutine of its own
}

type process struct {
	host   *host
	script script.Script
	run    uint64
	report func(any)
	once   sync.Once
	source actors.Source
}

func newHost() *host { return &host{starts: map[string]int{}, running: map[string]*process{}} }

func (h *host) Start(s script.Script, run uint64, report func(any)) actors.Process {
	p := &process{host: h, script: s, run: run, report: report, source: &source{}}
	h.mu.Lock()
	h.starts[s.Name]++
	h.running[s.Name] = p
	h.mu.Unlock()
	if h.onStart != nil {
		h.onStart(p)
	} else {
		p.ready()
	}
	return p
}

// Try makes a trial that goes on until onTry returns, killed or not.
func (h *host) Validate(s script.Script, trial uint64, report func(any)) actors.Process {
	if s.Executable {
		return nil
	}
	h.trials.Go(func() {
		var e stap.Exit
		if h.onTry != nil {
			e = h.onTry(s)
		}
		report(actors.ValidationEnded{Run: trial, Exit: e})
	})
	return idler{}
}

// idler is a process that need not be told to end.
type idler struct{}

func (idler) Stop(<-chan struct{}) {}
func (idler) Kill()                {}
func (idler) Prioritize()          {}

func (h *host) count(name string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.starts[name]
}

func (h *host) alive() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.running)
}

func (p *process) ready() {
	p.report(actors.ProcessReady{Ready: stap.Ready{Run: p.run, OSPID: 1}, Source: p.source})
}

func (p *process) exit(e stap.Exit) {
	p.once.Do(func() {
		p.host.mu.Lock()
		delete(p.host.running, p.script.Name)
		p.host.mu.Unlock()
		p.report(actors.ProcessExited{Run: p.run, Exit: e})
	})
}

func (p *process) Stop(after <-chan struct{}) {
	go func() {
		if after != nil {
			<-after
		}
		p.exit(stap.Exit{Stopped: true})
	}()
}

func (p *process) Prioritize() {}

func (p *process) Kill() { go p.exit(stap.Exit{Stopped: true}) }

// source counts its reads: the text says which one it was.
type source struct {
	reads  atomic.Int64
	busy   atomic.Bool
	broken func(ctx context.Context) error
}

func (s *source) Read(ctx context.Context, _ <-chan struct{}) (*exposition.Page, error) {
	if !s.busy.CompareAndSwap(false, true) {
		panic("two reads of one script at a time")
	}
	defer s.busy.Store(false)
	if s.broken != nil {
		if err := s.broken(ctx); err != nil {
			return nil, err
		}
	}
	return exposition.Sanitize(fmt.Appendf(nil, "reads %d\n", s.reads.Add(1)), exposition.Options{}), nil
}

func (s *source) MustDrain() bool { return false }
func (s *source) Pace() int       { return 0 }

func named(names ...string) (list []script.Script) {
	for _, n := range names {
		list = append(list, script.Script{Name: n, Module: "m_" + n, Autostart: n[0] == 'a'})
	}
	return list
}

func startTree(t *testing.T, h *host, cfg Config) *Supervisor {
	t.Helper()
	if cfg.ReadTimeout == 0 {
		cfg.ReadTimeout = 10 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel))
	}
	s, err := StartWith(cfg, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if left := s.Shutdown(ctx); left != nil {
			t.Errorf("left: %v", left)
		}
		if n := h.alive(); n != 0 {
			t.Errorf("%d children are still alive after the shutdown", n)
		}
	})
	return s
}

func text(a scrape.Answer) string {
	if a.Page == nil {
		return ""
	}
	return string(a.Page.Text())
}

func patient() scrape.Query {
	return scrape.Query{Wait: true, Deadline: time.Now().Add(20 * time.Second)}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestScrape(t *testing.T) {
	s := startTree(t, newHost(), Config{Scripts: named("b.stp", "c.stp")})
	if a := s.Scrape([]byte("none.stp"), patient()); !errors.Is(a.Err, scrape.ErrUnknown) {
		t.Errorf("unknown script: %v", a.Err)
	}
	a := s.Scrape([]byte("b.stp"), patient())
	if a.Err != nil || text(a) != "reads 1\n" {
		t.Errorf("got %q, %v", text(a), a.Err)
	}
	list := s.Statuses()
	if len(list) != 2 || list[0].State != scrape.Running || list[1].State != scrape.Idle {
		t.Errorf("statuses: %+v", list)
	}
}

// Every reply comes of a read that began after its request, and reads are
// shared.
func TestSharedReadsAreFresh(t *testing.T) {
	h := newHost()
	var src *source
	h.onStart = func(p *process) { src = p.source.(*source); p.ready() }
	s := startTree(t, h, Config{Scripts: named("b.stp")})
	s.Scrape([]byte("b.stp"), patient())

	var clients sync.WaitGroup
	var replies atomic.Int64
	for range 16 {
		clients.Go(func() {
			for range 2000 {
				before := src.reads.Load()
				a := s.Scrape([]byte("b.stp"), patient())
				var n int64
				if _, err := fmt.Sscanf(text(a), "reads %d\n", &n); err != nil || n <= before {
					t.Errorf("after read %d: got %q, %v", before, text(a), a.Err)
					return
				}
				replies.Add(1)
			}
		})
	}
	clients.Wait()
	if src.reads.Load() >= replies.Load() {
		t.Errorf("%d reads for %d replies: none was shared", src.reads.Load(), replies.Load())
	}
}

// An autostart script that ends at once is held off; requests are answered at
// once and the others do not notice.
func TestAutostartThatEndsAtOnce(t *testing.T) {
	h := newHost()
	h.onStart = func(p *process) {
		if p.script.Autostart {
			go p.exit(stap.Exit{Code: 1, Stage: stap.StageRun})
			return
		}
		p.ready()
	}
	s := startTree(t, h, Config{Scripts: named("auto.stp", "b.stp")})
	eventually(t, "auto.stp is held off", func() bool { return s.Statuses()[0].State == scrape.BackingOff })
	first := s.Scrape([]byte("b.stp"), patient())
	for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); {
		if a := s.Scrape(
			[]byte("auto.stp"),
			patient(),
		); !errors.Is(a.Err, scrape.ErrBackingOff) &&
			!errors.Is(a.Err, scrape.ErrNotRunning) {
			t.Fatalf("auto.stp answered %v", a.Err)
		}
		if a := s.Scrape([]byte("b.stp"), patient()); a.Err != nil {
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

// Requests that wait when the actor fails are answered then, not at their
// deadline.
func TestWaitingRequestsSurviveARestart(t *testing.T) {
	h := newHost()
	started := make(chan *process, 9)
	h.onStart = func(p *process) { started <- p }
	s := startTree(t, h, Config{Scripts: named("auto.stp")})
	p := <-started
	answers := make(chan scrape.Answer, 8)
	for range cap(answers) {
		go func() { answers <- s.Scrape([]byte("auto.stp"), patient()) }()
	}
	// All eight are in the mailbox or in the actor; whichever, each gets an
	// answer.
	p.exit(stap.Exit{Code: 1, Stage: stap.StageRun})
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

// A bug in one actor costs the requests it holds and its child, nothing else.
func TestBugInAnActor(t *testing.T) {
	h := newHost()
	h.onStart = func(p *process) {
		if p.script.Name == "b.stp" && p.run == 1 {
			panic("a bug")
		}
		p.ready()
	}
	s := startTree(t, h, Config{Scripts: named("b.stp", "c.stp"), Logger: zap.NewNop()})
	if a := s.Scrape([]byte("b.stp"), patient()); !errors.Is(a.Err, scrape.ErrInternal) {
		t.Errorf("b.stp answered %v", a.Err)
	}
	if a := s.Scrape([]byte("c.stp"), patient()); a.Err != nil {
		t.Errorf("c.stp answered %v", a.Err)
	}
	delete(h.running, "b.stp") // the start that panicked made no process
	eventually(t, "b.stp works again", func() bool { return s.Scrape([]byte("b.stp"), patient()).Err == nil })
}

// When the root fails, the process is told and can still end every child.
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
		t.Fatal("nobody was told")
	}
	if a := s.Scrape([]byte("b.stp"), patient()); a.Err != nil {
		t.Errorf("b.stp answered %v", a.Err)
	}
	if n := gather(t, s)["stap_exporter_actor_failures_total{kind=root,reason=bug}"]; n != 1 {
		t.Errorf("%v failures of the root are counted", n)
	}
}

// poison makes any actor that gets it panic.
type poison struct{}

func (poison) GetAutoResponse(actor.Context) any { panic("poisoned") }

func TestStuckReadIsAnsweredAndHoldsUpNothing(t *testing.T) {
	h := newHost()
	var reads atomic.Int64
	h.onStart = func(p *process) {
		p.source.(*source).broken = func(ctx context.Context) error {
			if reads.Add(1) == 1 {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		p.ready()
	}
	s := startTree(t, h, Config{Scripts: named("b.stp"), ReadTimeout: 50 * time.Millisecond})
	if a := s.Scrape([]byte("b.stp"), patient()); !errors.Is(a.Err, scrape.ErrReadTimeout) {
		t.Errorf("stuck read answered %v", a.Err)
	}
	if a := s.Scrape([]byte("b.stp"), patient()); a.Err != nil {
		t.Errorf("next read answered %v", a.Err)
	}
}

func TestShutdownNamesWhatIsLeft(t *testing.T) {
	h := newHost()
	h.onStart = func(p *process) { p.ready() }
	s, err := StartWith(
		Config{Scripts: named("b.stp", "c.stp"), ReadTimeout: time.Second, Logger: zap.NewNop()},
		leaver{h},
	)
	if err != nil {
		t.Fatal(err)
	}
	s.Scrape([]byte("b.stp"), patient())
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	left := s.Shutdown(ctx)
	if len(left) != 1 || left[0] != "b.stp: module x" {
		t.Errorf("left: %q", left)
	}
}

// leaver's children cannot be removed whole.
type leaver struct{ *host }

func (l leaver) Start(s script.Script, run uint64, report func(any)) actors.Process {
	return l.host.Start(s, run, func(m any) {
		if e, ok := m.(actors.ProcessExited); ok {
			e.Exit.Residue = []string{"module x"}
			m = e
		}
		report(m)
	})
}

// The path through the actor costs no allocation but the read's own.
func TestAskDoesNotAllocate(t *testing.T) {
	s := startTree(t, newHost(), Config{Scripts: named("auto.stp")})
	eventually(t, "auto.stp runs", func() bool { return s.Statuses()[0].State == scrape.Running })
	name, q := []byte("none.stp"), patient()
	if n := testing.AllocsPerRun(100, func() { s.Scrape(name, q) }); n != 0 {
		t.Errorf("%v allocations for an unknown script", n)
	}
}
