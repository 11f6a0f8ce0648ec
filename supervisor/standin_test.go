package supervisor

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"stap-exporter/actors"
	"stap-exporter/internal/exposition"
	"stap-exporter/internal/runner"
	"stap-exporter/internal/script"
)

// host is a stand-in for SystemTap: runs become ready at once, and end when
// they are told to or when the test ends them.
type host struct {
	mu          sync.Mutex
	starts      map[string]int
	running     map[string]*process
	validations sync.WaitGroup
	onStart     func(p *process) // nil: become ready
	// nil: it compiles; called in a goroutine of its own
	onValidate func(s script.Script) runner.Exit
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

// Validate begins a validation that goes on until onValidate returns, killed or
// not.
func (h *host) Validate(s script.Script, validation uint64, report func(any)) actors.Process {
	if s.Executable {
		return nil
	}
	h.validations.Go(func() {
		var e runner.Exit
		if h.onValidate != nil {
			e = h.onValidate(s)
		}
		report(actors.ValidationEnded{Run: validation, Exit: e})
	})
	return noProcess{}
}

// noProcess is a process that ends without being told to.
type noProcess struct{}

func (noProcess) Stop(<-chan struct{}) {}

func (noProcess) Kill() {}

func (noProcess) Prioritize() {}

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
	p.report(actors.ProcessReady{Ready: runner.Ready{Run: p.run, OSPID: 1}, Source: p.source})
}

func (p *process) exit(e runner.Exit) {
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
		p.exit(runner.Exit{Stopped: true})
	}()
}

func (p *process) Prioritize() {}

func (p *process) Kill() { go p.exit(runner.Exit{Stopped: true}) }

// source counts its reads: the text is the number of the read.
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

func (s *source) Pace() int { return 0 }

// poison makes any actor panic.
type poison struct{}

func (poison) GetAutoResponse(actor.Context) any { panic("poisoned") }

// leakyHost's children leave residue.
type leakyHost struct{ *host }

func (l leakyHost) Start(s script.Script, run uint64, report func(any)) actors.Process {
	return l.host.Start(s, run, func(m any) {
		if e, ok := m.(actors.ProcessExited); ok {
			e.Exit.Residue = []string{"module x"}
			m = e
		}
		report(m)
	})
}

// slowHost's first child ends when may is closed.
type slowHost struct {
	*host
	may  <-chan struct{}
	used *atomic.Bool
}

func (e slowHost) Start(s script.Script, run uint64, report func(any)) actors.Process {
	p := e.host.Start(s, run, report)
	if e.used.Swap(true) {
		return p
	}
	return lateStop{p, e.may}
}

type lateStop struct {
	actors.Process
	may <-chan struct{}
}

func (l lateStop) Stop(<-chan struct{}) { l.Process.Stop(l.may) }
