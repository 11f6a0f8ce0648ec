package actors

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"stap-exporter/internal/exposition"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
	"stap-exporter/internal/stap"
)

// BenchmarkRoundTrip is a request and its answer through a script actor's
// mailbox, without the metrics that package supervisor adds: once answered at
// once (the script may not run), once after a read that costs nothing.
func BenchmarkRoundTrip(b *testing.B) {
	refused := errors.New("refused")
	for _, bench := range []struct {
		name   string
		script script.Script
		want   error
	}{
		{"answered at once", script.Script{Name: "a.stp", Module: "a", Refused: refused}, refused},
		{"after a read", script.Script{Name: "b.stp", Module: "b"}, nil},
	} {
		b.Run(bench.name, func(b *testing.B) {
			system := actor.NewActorSystem(
				actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }),
			)
			defer system.Shutdown()
			cfg := &Config{
				Starter:     instant{},
				ReadTimeout: 10 * time.Second,
				MaxWaiting:  1,
				Clock:       SystemClock{},
				Go:          func(f func()) { go f() },
				Listener:    func(script.Script) func(scrape.Event) { return func(scrape.Event) {} },
				Decorate:    func(a actor.Actor) actor.Actor { return a },
			}
			h, err := Spawn(system.Root, cfg, Child{Script: bench.script, Failures: new(Failures)})
			if err != nil {
				b.Fatal(err)
			}
			defer func() {
				h.Send(Shutdown{})
				<-h.Ended()
				if err := system.Root.StopFuture(h.ActorPID()).Wait(); err != nil {
					b.Error(err)
				}
			}()
			b.ReportAllocs()
			for b.Loop() {
				if a := h.Ask(
					scrape.Query{Wait: true, Deadline: time.Now().Add(time.Minute)},
				); !errors.Is(
					a.Err,
					bench.want,
				) {
					b.Fatal(a.Err)
				}
			}
		})
	}
}

// instant runs scripts that are ready at once, and whose reads cost nothing.
type instant struct{}

func (instant) Start(_ script.Script, run uint64, report func(any)) Process {
	page := exposition.Sanitize([]byte("count 9\n"), exposition.Options{})
	report(ProcessReady{Ready: stap.Ready{Run: run, OSPID: 1}, Source: samePage{page}})
	return instantProcess{run, report}
}

func (instant) Validate(script.Script, uint64, func(any)) Process { return nil }

type samePage struct{ page *exposition.Page }

func (s samePage) Read(context.Context, <-chan struct{}) (*exposition.Page, error) {
	return s.page, nil
}
func (samePage) MustDrain() bool { return false }
func (samePage) Pace() int       { return 0 }

type instantProcess struct {
	run    uint64
	report func(any)
}

func (p instantProcess) Stop(after <-chan struct{}) {
	go func() {
		if after != nil {
			<-after
		}
		p.report(ProcessExited{Run: p.run, Exit: stap.Exit{Stopped: true}})
	}()
}
func (p instantProcess) Kill()       { p.Stop(nil) }
func (p instantProcess) Prioritize() {}
