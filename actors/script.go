package actors

import (
	"fmt"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"stap-exporter/internal/runner"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
)

// Config is what all script actors of an exporter have in common. Nothing in it
// changes after the first Spawn.
type Config struct {
	Starter Starter
	// Keepalive is how long an on-demand script runs without a request; 0: for
	// ever.
	Keepalive   time.Duration
	ReadTimeout time.Duration // of one read
	MaxWaiting  int           // how many requests may wait for one script, at least 1
	// Listener returns the function that receives a script's events, in the
	// goroutine of the script's actor: it must not block.
	Listener func(script.Script) func(scrape.Event)
	// Decorate wraps each incarnation of a script's actor, to measure it.
	Decorate func(actor.Actor) actor.Actor
	Clock    Clock
	// Go runs a batch of messages, or a read, in a goroutine that does nothing
	// else meanwhile.
	Go func(func())
}

// Spec is what Spawn needs to know of one script.
type Spec struct {
	Script  script.Script
	Version string // of Script, see ReplaceScript
	// Generation differs for each call of Spawn, so that no message to an
	// earlier actor of the script reaches this one.
	Generation uint64
	// Failures belong to the supervisor; each incarnation gets them from its
	// producer.
	Failures *Failures
}

// Spawn starts the actor of a script as a child of parent. Call it in the
// parent's goroutine, and not before Ended of an earlier actor of the same
// script: the two share the module.
func Spawn(parent actor.SpawnerContext, cfg *Config, spec Spec) (*Handle, error) {
	root := parent.ActorSystem().Root
	d := newDurable(cfg, spec.Script, spec.Version)
	props := actor.PropsFromProducer(
		func() actor.Actor { return cfg.Decorate(newScriptActor(cfg, d, spec.Failures)) },
		actor.WithDispatcher(dispatcher(cfg.Go)),
	)
	actorPID, err := parent.SpawnNamed(props, spec.Script.Module+"."+strconv.FormatUint(spec.Generation, 10))
	if err != nil {
		return nil, fmt.Errorf("spawn actor of %q: %w", spec.Script.Name, err)
	}
	return &Handle{
		root:     root,
		actorPID: actorPID,
		status:   d.status,
		ending:   d.ending,
	}, nil
}

func newDurable(cfg *Config, s script.Script, version string) *durable {
	d := &durable{
		script:   s,
		version:  version,
		status:   new(atomic.Pointer[scrape.Status]),
		requests: new(scrape.Requests),
		counted:  new(scrape.Reads),
		ending:   &ending{done: make(chan struct{})},
	}
	d.listen = countReads(d.counted, cfg.Listener(s))
	if s.Refused != nil {
		d.reason = s.Refused.Error()
	}
	d.status.Store(&scrape.Status{
		Script:   s,
		State:    scrape.Idle,
		Since:    cfg.Clock.Now(),
		Requests: d.requests,
		Reads:    d.counted,
	})
	return d
}

// dispatcher runs a mailbox's messages.
type dispatcher func(func())

// Schedule is called when an empty mailbox gets messages.
func (d dispatcher) Schedule(f func()) { d(f) }

// Throughput is how many messages are handled before the goroutine yields the
// CPU: protoactor's default.
func (d dispatcher) Throughput() int { return 300 }

// scriptActor is one incarnation of a script's actor. Its fields belong to the
// goroutine that runs Receive.
type scriptActor struct {
	cfg      *Config
	durable  *durable  // outlives the incarnation
	failures *Failures // belong to the supervisor

	send   func(message any) // sends to the actor itself, from any goroutine
	retire func()            // stops the actor

	behavior actor.Behavior // the receive function of the state; set by become
	state    scrape.State   // set by become
	since    time.Time      // when state was entered; zero before the first become
	progress ProcessProgressed

	reader       reader
	startWaiters waitList // wait for the script to run
	lastRequest  time.Time
	// why another run follows the one that is being stopped; empty: none does
	// unless the script has the autostart directive
	nextCause scrape.Cause

	timer     uint64 // the timer in effect, see durable.timers; 0: none
	stopTimer func()
	// how the run ended if the panic under way is a childEnded, else nil
	ended *runner.Exit
}

func newScriptActor(cfg *Config, d *durable, f *Failures) *scriptActor {
	a := &scriptActor{
		cfg:      cfg,
		durable:  d,
		failures: f,
		behavior: actor.NewBehavior(),
	}
	a.behavior.Become(a.spawned)
	return a
}

// Receive handles one message. It never blocks.
func (a *scriptActor) Receive(ctx actor.Context) {
	switch ctx.Message().(type) {
	case *actor.Started:
		root, self := ctx.ActorSystem().Root, ctx.Self()
		a.send = func(message any) { root.Send(self, message) }
		a.retire = func() { root.Stop(self) }
		a.receive(ctx)
	case *actor.Restarting:
		a.end()
	case *actor.Stopping:
		a.guarded(a.stop)
	case *actor.Stopped:
	default:
		a.receive(ctx)
	}
}

// receive hands a message to the function of the actor's state.
func (a *scriptActor) receive(ctx actor.Context) {
	defer a.reportBug()
	a.behavior.Receive(ctx)
}

// spawned is the state of an incarnation that has not begun.
func (a *scriptActor) spawned(ctx actor.Context) {
	if _, ok := ctx.Message().(*actor.Started); ok {
		a.begin()
	}
}

// begin is the first thing an incarnation does.
func (a *scriptActor) begin() {
	d := a.durable
	if a.failures.dormant {
		a.becomeDormant()
		return
	}
	if d.run.process == nil {
		a.takePending()
	}
	switch {
	case d.run.process != nil, d.shutdown && d.update.validation != nil:
		// the incarnation before had a bug
		a.becomeStopping(scrape.CauseRestarted)
	case d.shutdown:
		a.becomeStopped()
	case a.failures.retryAt.After(a.cfg.Clock.Now()):
		a.becomeBackingOff(scrape.CauseRestarted)
	default:
		a.becomeIdle(scrape.CauseSpawned)
		if a.autostarts() {
			a.becomeStarting(scrape.CauseAutostart)
		}
	}
}

// end is the last thing an incarnation does after a failure, when the
// supervisor has counted that and before the next incarnation begins. It
// answers all waiters and stops the timer.
func (a *scriptActor) end() {
	a.guarded(func() {
		if a.ended != nil {
			a.backOff(*a.ended)
			return
		}
		a.durable.reason = a.failures.bug
		a.endRead()
		a.reportCrashLoop()
	})
	a.guarded(func() {
		a.disarm()
		a.answerAll(scrape.ErrInternal)
	})
}

// stop is the last thing the actor does.
func (a *scriptActor) stop() {
	if a.durable.run.process != nil { // only without a Shutdown before
		a.durable.run.process.Kill()
	}
	a.killValidation()
	a.answerAll(a.endError())
	a.disarm()
}

// reportBug publishes a panic with its stack, which is gone when the supervisor
// gets the failure, and lets it go on.
func (a *scriptActor) reportBug() {
	if a.ended != nil {
		return
	}
	if p := recover(); p != nil {
		a.actorFailed(p)
		panic(p)
	}
}

// guarded runs f and ends a panic of it, which would restart an actor that is
// being stopped, or keep its parent waiting.
func (a *scriptActor) guarded(f func()) {
	defer func() {
		if p := recover(); p != nil {
			a.actorFailed(p)
		}
	}()
	f()
}

// actorFailed publishes the panic p, unless that panics, too. Call it where p is
// recovered, for the stack.
func (a *scriptActor) actorFailed(p any) {
	defer func() { _ = recover() }()
	a.durable.listen(scrape.ActorFailed{
		Time:   a.cfg.Clock.Now(),
		Script: a.durable.script.Name,
		Reason: fmt.Sprint(p),
		Stack:  string(debug.Stack()),
	})
}
