package actors

import (
	"cmp"
	"fmt"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
)

// Config is what all script actors of a server have in common. Nothing in it
// changes after the first Spawn.
type Config struct {
	Starter Starter
	// stop an on-demand script that nobody asked for this long; 0: never
	Keepalive time.Duration
	// of one read
	ReadTimeout time.Duration
	// how many requests may wait for one script, at least 1
	MaxWaiting int
	// makes what gets a script's events, in its actor's goroutine: it must not
	// block
	Listener func(script.Script) func(scrape.Event)
	// wraps each incarnation of a script's actor, to measure it
	Decorate func(actor.Actor) actor.Actor
	Clock    Clock
	// runs a batch of messages, or a read, in a goroutine that does nothing
	// else meanwhile
	Go func(func())
}

// Spawn starts the actor of s as a child of parent. Call it in the parent's
// goroutine, and not before Ended of an earlier actor of the same script: they
// share the module.
// version is that of s, see ReplaceScript; generation is another for each call,
// so that what is on its way to an earlier actor never reaches this one.
func Spawn(
	parent actor.SpawnerContext,
	cfg *Config,
	s script.Script,
	version string,
	generation uint64,
) (*Handle, error) {
	root := parent.ActorSystem().Root
	board := new(atomic.Pointer[scrape.Status])
	requests, reads := new(scrape.Requests), new(scrape.Reads)
	board.Store(&scrape.Status{
		Script:   s,
		State:    scrape.Idle,
		Since:    cfg.Clock.Now(),
		Requests: requests,
		Reads:    reads,
	})
	her := &durable{
		script:   s,
		version:  version,
		ending:   &ending{done: make(chan struct{})},
		board:    board,
		requests: requests,
		counted:  reads,
		listen:   countReads(reads, cfg.Listener(s)),
	}
	if s.Refused != nil {
		her.reason = s.Refused.Error()
	}
	props := actor.PropsFromProducer(
		func() actor.Actor { return cfg.Decorate(newScriptActor(cfg, her)) },
		actor.WithDispatcher(dispatcher(cfg.Go)),
	)
	actorPID, err := parent.SpawnNamed(props, s.Module+"."+strconv.FormatUint(generation, 10))
	if err != nil {
		return nil, fmt.Errorf("spawn actor of %q: %w", s.Name, err)
	}
	return &Handle{
		root:     root,
		actorPID: actorPID,
		board:    board,
		ending:   her.ending,
	}, nil
}

// dispatcher runs a mailbox's messages.
type dispatcher func(func())

// Schedule is called when there are messages in an idle mailbox.
func (d dispatcher) Schedule(f func()) { d(f) }

// Throughput is how many messages are handled before others get the processor:
// protoactor's own default.
func (d dispatcher) Throughput() int { return 300 }

// scriptActor is one incarnation. What outlives it is in her.
type scriptActor struct {
	cfg     *Config
	durable *durable

	tell   func(message any) // sends to the actor itself, from any goroutine
	retire func()            // stops the actor

	state     scrape.State // assigned by become alone
	born      bool         // the first become has happened
	since     time.Time
	activity  string
	osPID     int
	place     int // in the queue of starts, else 0
	of        int // how many are in it
	compiling bool
	output    func() []string // of the child, nil without

	source       Source   // of the running script, else nil
	startWaiters waitList // wait for the script to run
	nextRead     waitList // wait for a read that has not begun
	currentRead  waitList // wait for the read under way

	pausing     bool // the next read waits for a ReadDue
	lastRequest time.Time
	// why another run follows the one that is being stopped; empty: none does
	// unless it is an autostart script
	nextCause scrape.Cause

	timer     uint64 // the timer that counts, see heritage.timers
	stopTimer func()
	failing   bool // the panic under way is a childEnded
}

func newScriptActor(cfg *Config, her *durable) *scriptActor {
	return &scriptActor{cfg: cfg, durable: her}
}

// childEnded is what an autostart script's actor fails with, so that the
// supervisor restarts it.
type childEnded struct{ Reason string }

func (e childEnded) String() string { return "child ended: " + e.Reason }

// ChildEndedFailure tells whether an actor failed since its child ended, as it
// should, and not for a bug.
func ChildEndedFailure(reason any) bool {
	_, ok := reason.(childEnded)
	return ok
}

// Receive handles one message. It never blocks.
func (a *scriptActor) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		root, self := ctx.ActorSystem().Root, ctx.Self()
		a.tell = func(message any) { root.Send(self, message) }
		a.retire = func() { root.Stop(self) }
		a.handle(m)
	case *actor.Restarting:
		a.guarded(a.end)
	case *actor.Stopping:
		a.guarded(func() {
			if a.durable.process != nil { // only when nobody sent Shutdown first
				a.durable.process.Kill()
			}
			a.killValidation()
			a.answerAll(a.endError())
			a.disarm()
		})
	case *actor.Stopped:
	default:
		a.handle(m)
	}
}

// guarded runs f, which a panic must not leave: it would restart an actor that
// is being stopped, or leave its parent waiting.
func (a *scriptActor) guarded(f func()) {
	defer func() {
		if p := recover(); p != nil {
			a.durable.listen(scrape.ActorFailed{
				Time:   a.cfg.Clock.Now(),
				Script: a.durable.script.Name,
				Reason: fmt.Sprint(p),
				Stack:  string(debug.Stack()),
			})
		}
	}()
	f()
}

// handle is the actor without protoactor: one message, one method.
func (a *scriptActor) handle(message any) {
	defer a.reportBug()
	switch m := message.(type) {
	case *actor.Started:
		a.begin()
	case *ReadMetrics:
		a.readMetrics(m)
	case RequesterLeft:
		a.requesterLeft(m)
	case ReadFinished:
		a.readFinished(m)
	case ReadExpired:
		a.readExpired(m)
		a.noteLate()
	case ReadDue:
		a.readDue(m)
	case ProcessProgressed:
		a.processProgressed(m)
	case ProcessReady:
		a.processReady(m)
	case ProcessExited:
		a.processExited(m)
	case KeepaliveExpired:
		a.keepaliveExpired(m)
	case RunProvedHealthy:
		a.runProvedHealthy(m)
	case BackoffExpired:
		a.backoffExpired(m)
	case Shutdown:
		a.beginShutdown(m)
	case ReplaceScript:
		a.replaceScript(m)
	case ValidationEnded:
		a.validationEnded(m)
	case StartNow:
		a.startNow()
	case StopNow:
		a.stopNow()
	case RestartNow:
		a.restartNow()
	case KillChild:
		a.durable.killed = true
		a.killValidation()
		if a.durable.process != nil {
			a.durable.process.Kill()
		}
	}
}

// reportBug publishes a panic with its stack, which is gone by the time the
// supervisor hears of it, and lets it go on.
func (a *scriptActor) reportBug() {
	if a.failing {
		return
	}
	if p := recover(); p != nil {
		a.durable.listen(scrape.ActorFailed{
			Time:   a.cfg.Clock.Now(),
			Script: a.durable.script.Name,
			Reason: fmt.Sprint(p),
			Stack:  string(debug.Stack()),
		})
		panic(p)
	}
}

// begin is the first thing an incarnation does.
func (a *scriptActor) begin() {
	if a.durable.process == nil {
		a.takePending()
	}
	switch now := a.cfg.Clock.Now(); {
	case a.durable.process != nil, a.durable.shutdown && a.durable.validation != nil:
		// the incarnation before had a bug
		a.becomeStopping(scrape.CauseRestarted)
	case a.durable.shutdown:
		a.becomeStopped()
	case a.durable.retryAt.After(now):
		a.becomeBackingOff(scrape.CauseRestarted)
	default:
		a.becomeIdle(scrape.CauseSpawned)
		if a.durable.script.Autostart && !a.durable.paused {
			a.becomeStarting(scrape.CauseAutostart)
		}
	}
}

// end is the last thing an incarnation does before the next one: it answers who
// waits and leaves no timer.
func (a *scriptActor) end() {
	a.disarm()
	if !a.failing {
		a.durable.reason = "the script's actor failed, which is a bug in the exporter: the log tells where"
		a.backOff()
		a.endRead()
	}
	a.answerAll(scrape.ErrInternal) // those of a child that ended have their answer
}

// readMetrics: the request is registered before anything is done for it, so
// that a panic in between still finds it.
func (a *scriptActor) readMetrics(m *ReadMetrics) {
	if err := a.barred(); err != nil {
		a.refuse(m, err)
		return
	}
	if m.Query.Passive {
		a.readPassively(m)
		return
	}
	a.lastRequest = a.cfg.Clock.Now()
	a.durable.requests.MarkReceived(a.lastRequest)
	switch a.state {
	case scrape.Running:
		a.readAlong(m)
	case scrape.BackingOff:
		a.refuse(m, scrape.ErrBackingOff)
	case scrape.Stopped:
		a.refuse(m, a.endError())
	case scrape.Idle:
		a.startWaiters.add(m)
		a.becomeStarting(scrape.CauseRequest)
		a.answerWithoutWaiting(m)
	case scrape.Starting, scrape.Stopping:
		if a.durable.shutdown {
			a.refuse(m, a.endError())
			return
		}
		if a.state == scrape.Stopping {
			a.nextCause = cmp.Or(a.nextCause, scrape.CauseRequest)
		}
		if !m.Query.Wait {
			a.refuse(m, scrape.ErrNotRunning)
		} else if a.hasPlace(m) {
			a.startWaiters.add(m)
		}
		if a.state == scrape.Starting {
			a.durable.process.Prioritize()
		}
	}
}

// readAlong lets m wait for the next read of the running script.
func (a *scriptActor) readAlong(m *ReadMetrics) {
	if a.hasPlace(m) {
		a.nextRead.add(m)
		a.readNext()
	}
}

// hasPlace refuses m when too many requests wait for the script already.
func (a *scriptActor) hasPlace(m *ReadMetrics) bool {
	if len(a.currentRead.list)+len(a.nextRead.list)+len(a.startWaiters.list) < a.cfg.MaxWaiting {
		return true
	}
	a.refuse(m, scrape.ErrOverLimit)
	return false
}

// askerLeft frees the place of a request that nobody waits for any more.
func (a *scriptActor) requesterLeft(m RequesterLeft) {
	for _, w := range []*waitList{&a.currentRead, &a.nextRead, &a.startWaiters} {
		w.drop(waiter(m))
	}
}

// readPassively lets m read along if the script runs.
func (a *scriptActor) readPassively(m *ReadMetrics) {
	if a.state != scrape.Running {
		a.refuse(m, scrape.ErrNotRunning)
		return
	}
	a.readAlong(m)
}

func (a *scriptActor) refuse(m *ReadMetrics, err error) {
	m.respond(m.number, scrape.Answer{Err: err, Status: a.durable.board.Load()})
}

// answerImpatient answers m, the latest in warming, if it does not want to
// wait.
func (a *scriptActor) answerWithoutWaiting(m *ReadMetrics) {
	if m.Query.Wait {
		return
	}
	last := len(a.startWaiters.list) - 1
	a.startWaiters.list[last] = waiter{}
	a.startWaiters.list = a.startWaiters.list[:last]
	a.refuse(m, scrape.ErrNotRunning)
}

func (a *scriptActor) beginShutdown(m Shutdown) {
	a.durable.shutdown = true
	a.durable.removed = a.durable.removed || m.Removed
	a.killValidation()
	switch a.state {
	case scrape.Idle, scrape.BackingOff:
		if a.durable.validation != nil {
			a.becomeStopping(a.endCause())
			break
		}
		a.becomeStopped()
	case scrape.Starting, scrape.Running:
		a.becomeStopping(a.endCause())
	case scrape.Stopping, scrape.Stopped: // it is at it, or done
	}
	a.answerAll(a.endError())
}

// endError is what requests get after Shutdown.
func (a *scriptActor) endError() error {
	if a.durable.removed {
		return scrape.ErrUnknown
	}
	return scrape.ErrShuttingDown
}

func (a *scriptActor) endCause() scrape.Cause {
	if a.durable.removed {
		return scrape.CauseRemoved
	}
	return scrape.CauseShutdown
}

// reportEnd says that nothing is left of the child.
func (a *scriptActor) reportEnd() {
	select {
	case <-a.durable.ending.done: // an incarnation before said so
	default:
		a.durable.ending.left = a.durable.residue
		close(a.durable.ending.done)
	}
	if a.durable.removed {
		a.retire()
	}
}
