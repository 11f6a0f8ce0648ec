package server

import (
	"context"
	"sync/atomic"
	"time"

	"stap-exporter/actors"
	"stap-exporter/bench/body"
	"stap-exporter/internal/exposition"
	"stap-exporter/internal/script"
	"stap-exporter/internal/stap"
)

// source stands in for the file of one running script. Each read gives a new
// text with a number and a time stamp, which passes the gate as a real one
// does.
type source struct {
	o          Options
	template   *body.Template
	directives *exposition.Directives
	number     atomic.Int64
	same       *exposition.Page // for constant
}

func newSource(o Options) *source { return sourceOf(o, body.NewTemplate(o.Size)) }

// sourceOf shares the template, which no real exporter has, with the sources of
// other scripts.
func sourceOf(o Options, t *body.Template) *source {
	s := &source{o: o, template: t}
	// As scripts/example.stp has it. A name that is valid is no error.
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
	page := s.page() // the stamp is of the beginning
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

// Patient implements actors.Source.
func (s *source) MustDrain() bool { return false }

// Pace implements actors.Source: as for a bpf script, a pause as long as the
// read follows each read.
func (s *source) Pace() int { return 1 }

// starter runs scripts without processes: each is ready at once.
type starter struct {
	o        Options
	template *body.Template
}

// Start implements actors.Starter.
func (s starter) Start(_ script.Script, run uint64, report func(any)) actors.Process {
	report(actors.ProcessReady{Ready: stap.Ready{Run: run, OSPID: 1}, Source: sourceOf(s.o, s.template)})
	return process{run, report}
}

// Try implements actors.Starter.
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
		p.report(actors.ProcessExited{Run: p.run, Exit: stap.Exit{Stopped: true}})
	}()
}

// Kill implements actors.Process.
func (p process) Kill() { p.Stop(nil) }

// Hurry implements actors.Process: there is no queue.
func (p process) Prioritize() {}
