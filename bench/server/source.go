package server

import (
	"context"
	"sync/atomic"
	"time"

	"stap-exporter/actors"
	"stap-exporter/bench/body"
	"stap-exporter/internal/exposition"
	"stap-exporter/internal/runner"
	"stap-exporter/internal/script"
)

// source is the stand-in for the procfs file of one running script. Each read
// returns a new text with a number and a time, sanitized as a real one is.
type source struct {
	o          Options
	template   *body.Template
	directives *exposition.Directives
	number     atomic.Int64
	same       *exposition.Page // with Options.Constant
}

func newSource(o Options) *source { return sourceOf(o, body.NewTemplate(o.Size)) }

// sourceOf returns a source that shares the template with those of other
// scripts. A real exporter has no templates, so they must not use its memory.
func sourceOf(o Options, t *body.Template) *source {
	s := &source{o: o, template: t}
	// As in scripts/example.stp. The name is valid, so there is no error.
	s.directives, _ = exposition.NewDirectives(
		[]exposition.Metadata{{Name: body.Metric, Type: exposition.Untyped, Help: "Read calls by thread and cpu."}},
	)
	if o.Constant {
		s.same = s.page()
	}
	return s
}

// page is one read without its cost.
func (s *source) page() *exposition.Page {
	return exposition.Sanitize(
		s.template.Text(s.number.Add(1), body.Monotonic()),
		exposition.Options{Directives: s.directives},
	)
}

// Read implements actors.Source.
func (s *source) Read(ctx context.Context, _ <-chan struct{}) (*exposition.Page, error) {
	if s.same != nil {
		return s.same, s.pay(ctx)
	}
	page := s.page() // the stamp has the time of the beginning
	return page, s.pay(ctx)
}

// pay takes the time that a read costs.
func (s *source) pay(ctx context.Context) error {
	switch {
	case s.o.Cost == 0:
	case s.o.Spin:
		for until := time.Now().Add(s.o.Cost); time.Now().Before(until); {
			continue
		}
	default:
		select {
		case <-time.After(s.o.Cost):
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// MustDrain implements actors.Source.
func (s *source) MustDrain() bool { return false }

// Pace implements actors.Source: as for a bpf script, a pause as long as the
// read follows each read.
func (s *source) Pace() int { return 1 }

// starter starts scripts that have no process and are ready at once.
type starter struct {
	o        Options
	template *body.Template
}

// Start implements actors.Starter.
func (s starter) Start(_ script.Script, run uint64, report func(any)) actors.Process {
	report(actors.ProcessReady{Ready: runner.Ready{Run: run, OSPID: 1}, Source: sourceOf(s.o, s.template)})
	return process{run, report}
}

// Validate implements actors.Starter.
func (s starter) Validate(script.Script, uint64, func(any)) actors.Process { return nil }

type process struct {
	run    uint64
	report func(any)
}

// Stop implements actors.Process.
func (p process) Stop(after <-chan struct{}) {
	go func() {
		if after != nil {
			<-after
		}
		p.report(actors.ProcessExited{Run: p.run, Exit: runner.Exit{Stopped: true}})
	}()
}

// Kill implements actors.Process.
func (p process) Kill() { p.Stop(nil) }

// Prioritize implements actors.Process. There is no queue.
func (p process) Prioritize() {}
