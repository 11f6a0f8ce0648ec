package actors_test

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"stap-exporter/actors"
	"stap-exporter/internal/exposition"
	"stap-exporter/internal/runner"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
)

// A request starts an on-demand script; its answer is the script's metrics.
func Example() {
	system := newSystem()
	defer system.Shutdown()
	h, err := actors.Spawn(system.Root, newConfig(), actors.Spec{
		Script:   script.Script{Name: "counting.stp", Module: "counting"},
		Failures: new(actors.Failures),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(h.Status().State)
	answer := h.Ask(scrape.Query{Wait: true, Deadline: time.Now().Add(time.Minute)})
	fmt.Printf("%s %s", answer.Status.State, answer.Page.Text())

	h.Send(actors.Shutdown{})
	<-h.Ended()
	fmt.Println(h.Status().State)
	// Output:
	// idle
	// running count 9
	// stopped
}

// newSystem returns an actor system that logs nothing.
func newSystem() *actor.ActorSystem {
	return actor.NewActorSystem(
		actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }),
	)
}

func newConfig() *actors.Config {
	return &actors.Config{
		Starter:     instant{},
		ReadTimeout: 10 * time.Second,
		MaxWaiting:  1,
		Clock:       actors.SystemClock{},
		Go:          func(f func()) { go f() },
		Listener:    func(script.Script) func(scrape.Event) { return func(scrape.Event) {} },
		Decorate:    func(a actor.Actor) actor.Actor { return a },
	}
}

// instant runs scripts without processes: they are ready at once, and their
// reads cost nothing.
type instant struct{}

func (instant) Start(_ script.Script, run uint64, report func(any)) actors.Process {
	page := exposition.Sanitize([]byte("count 9\n"), exposition.Options{})
	report(actors.ProcessReady{Ready: runner.Ready{Run: run, OSPID: 1}, Source: samePage{page}})
	return instantProcess{run, report}
}

func (instant) Validate(script.Script, uint64, func(any)) actors.Process { return nil }

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
		p.report(actors.ProcessExited{Run: p.run, Exit: runner.Exit{Stopped: true}})
	}()
}
func (p instantProcess) Kill()       { p.Stop(nil) }
func (p instantProcess) Prioritize() {}
