package actors

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"stap-exporter/internal/exposition"
	"stap-exporter/internal/runner"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
)

// world is everything around one script actor.
type world struct {
	out      strings.Builder
	now      time.Time
	timers   []*fakeTimer
	mailbox  []any
	cfg      *Config
	durable  *durable
	failures Failures
	actor    *scriptActor
	requests map[string]*ReadMetrics // that have no answer yet
	bug      bool
	broken   bool // the listener panics on each event
	ended    bool // the end was printed
}

type fakeTimer struct {
	at      time.Time
	f       func()
	stopped bool
}

// fakeSource is never read: the "read" command of a scenario finishes reads.
type fakeSource struct {
	w         *world
	mustDrain bool
	pace      int
}

func (s fakeSource) Read(context.Context, <-chan struct{}) (*exposition.Page, error) {
	panic("no read begins in the world")
}
func (s fakeSource) MustDrain() bool { return s.mustDrain }

func (s fakeSource) Pace() int { return s.pace }

// newWorld makes the world of a script, without its actor.
func newWorld(s script.Script, keepalive time.Duration) *world {
	w := &world{now: time.Unix(1_000_000, 0), requests: map[string]*ReadMetrics{}}
	w.cfg = &Config{
		Starter:     w,
		Keepalive:   keepalive,
		ReadTimeout: 10 * time.Second,
		MaxWaiting:  1000,
		Listener:    func(script.Script) func(scrape.Event) { return w.listen },
		Clock:       w,
		Go:          func(func()) { w.printf("read %d begins", w.durable.reads.number) },
	}
	w.durable = newDurable(w.cfg, s, "")
	return w
}

// worldIn makes the world of a script that has reached the state in the
// shortest way.
func worldIn(state scrape.State, autostart bool) *world {
	w := newWorld(script.Script{Name: "s.stp"}, 0)
	w.durable.script.Autostart = autostart
	if autostart && state == scrape.Idle {
		w.durable.script.Autostart = false // an autostart script is idle only while it begins
	}
	w.spawn()
	if state == scrape.Idle {
		w.durable.script.Autostart = autostart
		return w
	}
	if !autostart {
		w.deliver(w.request("first", true))
	}
	switch state {
	case scrape.Running:
		w.deliver(ProcessReady{Ready: runner.Ready{Run: 1}, Source: fakeSource{}})
	case scrape.Stopping:
		w.actor.becomeStopping(scrape.CauseStopRequested)
	case scrape.BackingOff:
		w.deliver(ProcessExited{Run: 1, Exit: runner.Exit{Code: 1}})
	case scrape.Stopped:
		w.deliver(Shutdown{})
		w.deliver(ProcessExited{Run: 1, Exit: runner.Exit{Stopped: true}})
	case scrape.Idle, scrape.Starting:
	}
	w.collect()
	return w
}

func (w *world) request(name string, wait bool) *ReadMetrics {
	m := &ReadMetrics{reply: make(chan reply, 1), Query: scrape.Query{Wait: wait, Deadline: w.now.Add(24 * time.Hour)}}
	w.requests[name] = m
	return m
}

func (w *world) printf(format string, args ...any) { fmt.Fprintf(&w.out, format+"\n", args...) }

// mayPanic is the bug that a scenario wants in the middle of the next message.
func (w *world) mayPanic() {
	if w.bug {
		w.bug = false
		panic("panic")
	}
}

func (w *world) Now() time.Time { return w.now }

func (w *world) AfterFunc(d time.Duration, f func()) func() {
	w.mayPanic()
	t := &fakeTimer{at: w.now.Add(d), f: f}
	w.timers = append(w.timers, t)
	return func() { t.stopped = true }
}

func (w *world) Start(_ script.Script, run uint64, _ func(any)) Process {
	w.mayPanic()
	w.printf("start run %d", run)
	return &fakeProcess{w: w, run: run, what: "run"}
}

func (w *world) Validate(s script.Script, validation uint64, _ func(any)) Process {
	w.mayPanic()
	if s.Executable {
		return nil
	}
	w.printf("validate %d", validation)
	return &fakeProcess{w: w, run: validation, what: "validation"}
}

type fakeProcess struct {
	w    *world
	run  uint64
	what string
}

func (p *fakeProcess) Stop(after <-chan struct{}) {
	if after == nil {
		p.w.printf("stop %s %d", p.what, p.run)
		return
	}
	p.w.printf("stop run %d once its read is closed", p.run)
}

func (p *fakeProcess) Prioritize() { p.w.printf("prioritize %s %d", p.what, p.run) }

func (p *fakeProcess) Kill() { p.w.printf("kill %s %d", p.what, p.run) }

func (w *world) listen(e scrape.Event) {
	if w.broken {
		panic("listener is broken")
	}
	switch e := e.(type) {
	case scrape.StateChanged:
		line := fmt.Sprintf("%s -> %s (%s)", e.From, e.To, e.Cause)
		if e.To == scrape.BackingOff {
			// without the jitter
			line += fmt.Sprintf(" for at least %d s", 1<<int(math.Log2(e.RetryAt.Sub(e.Time).Seconds())))
		}
		w.printf("%s", line)
	case scrape.ChildEnded:
		w.printf("child of run %d ended: stopped=%v %s", e.End.Run, e.End.Cause == scrape.EndStopped, e.End.Reason)
	case scrape.ScriptReplaced:
		w.printf("script replaced")
	case scrape.ScriptRefused:
		w.printf("script refused: %s", e.Reason)
	case scrape.VersionRefused:
		w.printf("new version refused: %s", e.Reason)
	case scrape.CrashLoopChanged:
		w.printf("crash loop: %v (%s) after %d failures", e.Looping, e.Cause, e.Failures)
	case scrape.ActorFailed:
		w.printf("bug: %s", e.Reason)
	}
}

// spawn makes the first incarnation, or the next one.
func (w *world) spawn() {
	w.actor = newScriptActor(w.cfg, w.durable, &w.failures)
	w.actor.retire = func() { w.printf("actor stops") }
	w.actor.send = func(m any) { w.mailbox = append(w.mailbox, m) }
	w.deliver(&actor.Started{})
}

// message is the context of a message.
type message struct {
	actor.Context
	body any
}

func (m message) Message() any { return m.body }

// deliver gives the actor a message as its mailbox does, and acts as the
// supervisor if the actor fails.
func (w *world) deliver(m any) {
	failed := func() (failed bool) {
		defer func() {
			if p := recover(); p != nil {
				failed = true
				w.failures.ActorFailed(w.now, p)
				w.printf("actor failed: child ended: %v", ChildEndedFailure(p))
			}
		}()
		w.actor.receive(message{body: m})
		return false
	}()
	if failed {
		w.actor.end()
		w.spawn()
	}
	w.collect()
}

// collect prints the answers that have come.
func (w *world) collect() {
	names := make([]string, 0, len(w.requests))
	for name := range w.requests {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		select {
		case r := <-w.requests[name].reply:
			delete(w.requests, name)
			what := ""
			if r.answer.Err != nil {
				what = r.answer.Err.Error()
			} else {
				what = strconv.Quote(string(r.answer.Page.Text()))
			}
			w.printf("%s gets %s [%s]", name, what, r.answer.Status.State)
		default:
		}
	}
}

func (w *world) settle() {
	for len(w.mailbox) > 0 {
		m := w.mailbox[0]
		w.mailbox = w.mailbox[1:]
		w.deliver(m)
	}
}

func (w *world) advance(d time.Duration) {
	end := w.now.Add(d)
	for {
		slices.SortStableFunc(w.timers, func(a, b *fakeTimer) int { return a.at.Compare(b.at) })
		i := slices.IndexFunc(w.timers, func(t *fakeTimer) bool { return !t.stopped && !t.at.After(end) })
		if i < 0 {
			break
		}
		t := w.timers[i]
		w.timers = slices.Delete(w.timers, i, i+1)
		w.now = t.at
		t.f()
		w.settle()
	}
	w.now = end
}

func (w *world) hasEnded() bool {
	select {
	case <-w.durable.ending.done:
		return true
	default:
		return false
	}
}

// abandoned reports whether the page of the read under way is discarded.
func (w *world) abandoned() bool { return w.durable.reads.open != nil && w.durable.reads.open.expired }
