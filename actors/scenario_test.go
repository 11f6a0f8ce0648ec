package actors

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/cockroachdb/datadriven"

	"stap-exporter/internal/exposition"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
	"stap-exporter/internal/stap"
)

// TestScenarios plays the files in testdata: each is a life of one script, told
// in commands with what follows from each.
// Process, clock and supervisor are stand-ins that the file moves; "go test
// ./actors -run Scenarios -rewrite" writes what follows anew.
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var w *world
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "script" {
				w = newWorld(script.Script{Name: "s.stp", Autostart: d.HasArg("autostart")}, span(t, d, "keepalive"))
				w.cfg.MaxWaiting = int(number(t, d, "places", uint64(w.cfg.MaxWaiting)))
				w.spawn()
				w.settle()
				return w.out.String()
			}
			w.out.Reset()
			w.command(t, d)
			if w.out.Len() == 0 {
				return "(nothing)\n"
			}
			return w.out.String()
		})
	})
}

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
	asked    map[string]*ReadMetrics
	bug      bool
	broken   bool // the listener panics on each event
	ended    bool // the end was printed
}

type fakeTimer struct {
	at      time.Time
	f       func()
	stopped bool
}

// fakeSource answers what the scenario says next.
type fakeSource struct {
	w       *world
	patient bool
	pace    int
}

func (s fakeSource) Read(context.Context, <-chan struct{}) (*exposition.Page, error) {
	panic("the world finishes reads")
}
func (s fakeSource) MustDrain() bool { return s.patient }

func (s fakeSource) Pace() int { return s.pace }

func (w *world) printf(format string, args ...any) { fmt.Fprintf(&w.out, format+"\n", args...) }

// strike is the bug that the scenario asked for: a panic in the middle of a
// message.
func (w *world) strike() {
	if w.bug {
		w.bug = false
		panic("struck")
	}
}

func (w *world) Now() time.Time { return w.now }

func (w *world) AfterFunc(d time.Duration, f func()) func() {
	w.strike()
	t := &fakeTimer{at: w.now.Add(d), f: f}
	w.timers = append(w.timers, t)
	return func() { t.stopped = true }
}

func (w *world) Start(_ script.Script, run uint64, _ func(any)) Process {
	w.strike()
	w.printf("start run %d", run)
	return &fakeProcess{w: w, run: run, what: "run"}
}

func (w *world) Validate(s script.Script, trial uint64, _ func(any)) Process {
	w.strike()
	if s.Executable {
		return nil
	}
	w.printf("try %d", trial)
	return &fakeProcess{w: w, run: trial, what: "trial"}
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

func (p *fakeProcess) Prioritize() { p.w.printf("hurry %s %d", p.what, p.run) }

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
		w.printf("child of run %d ended: asked=%v %s", e.End.Run, e.End.Cause == scrape.EndStopped, e.End.Reason)
	case scrape.ScriptReplaced:
		w.printf("script replaced")
	case scrape.ScriptRefused:
		w.printf("script refused: %s", e.Reason)
	case scrape.VersionRefused:
		w.printf("new version refused: %s", e.Reason)
	case scrape.CrashLoopChanged:
		w.printf("crash loop: %v (%s) after %d consecutive failures", e.Looping, e.Cause, e.Failures)
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

// deliver gives the actor a message as its mailbox does, and does the
// supervisor's part when it fails.
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

// collect prints the answers that came.
func (w *world) collect() {
	names := make([]string, 0, len(w.asked))
	for name := range w.asked {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		select {
		case r := <-w.asked[name].reply:
			delete(w.asked, name)
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

// arg is the value of key=value in a command.
func arg(t *testing.T, d *datadriven.TestData, key, otherwise string) string {
	if !d.HasArg(key) {
		return otherwise
	}
	var v string
	d.ScanArgs(t, key, &v)
	return v
}

func span(t *testing.T, d *datadriven.TestData, key string) time.Duration {
	v, err := time.ParseDuration(arg(t, d, key, "0s"))
	if err != nil {
		d.Fatalf(t, "%v", err)
	}
	return v
}

func number(t *testing.T, d *datadriven.TestData, key string, otherwise uint64) uint64 {
	n, err := strconv.ParseUint(arg(t, d, key, strconv.FormatUint(otherwise, 10)), 10, 64)
	if err != nil {
		d.Fatalf(t, "%v", err)
	}
	return n
}

func (w *world) command(t *testing.T, d *datadriven.TestData) {
	run := func() uint64 { return number(t, d, "run", w.durable.run.number) }
	switch d.Cmd {
	case "ask":
		for _, a := range d.CmdArgs {
			if a.Key == "wait" || a.Key == "passive" {
				continue
			}
			m := &ReadMetrics{reply: make(chan reply, 1), Query: scrape.Query{Deadline: w.now.Add(20 * time.Second)}}
			if d.HasArg("wait") {
				m.Query = scrape.Query{Wait: true, Deadline: w.now.Add(span(t, d, "wait"))}
			}
			m.Query.Passive = d.HasArg("passive")
			w.asked[a.Key] = m
			w.deliver(m)
		}
	case "leave":
		for _, a := range d.CmdArgs {
			m := w.asked[a.Key]
			delete(w.asked, a.Key)
			w.deliver(RequesterLeft{request: m})
		}
	case "progress":
		w.deliver(ProcessProgressed{Run: run(), OSPID: 7, Activity: strings.TrimSpace(d.Input)})
		w.printf("activity: %q", w.durable.status.Load().Activity)
	case "ready":
		w.deliver(
			ProcessReady{
				Ready:  stap.Ready{Run: run(), OSPID: 7},
				Source: fakeSource{w: w, patient: d.HasArg("patient"), pace: int(number(t, d, "pace", 0))},
			},
		)
	case "exit":
		exit := stap.Exit{Code: int(number(t, d, "code", 0)), Stage: stap.StageRun, Stopped: d.HasArg("asked")}
		if d.HasArg("left") {
			exit.Residue = []string{arg(t, d, "left", "")}
		}
		w.deliver(ProcessExited{Run: run(), Exit: exit})
	case "read":
		m := ReadFinished{
			Read: number(t, d, "number", w.durable.reads.number),
			Page: exposition.Sanitize([]byte(arg(t, d, "body", "")+" 1\n"), exposition.Options{}),
		}
		if d.HasArg("err") {
			m = ReadFinished{Read: m.Read, Err: errors.New(arg(t, d, "err", ""))}
			if arg(t, d, "err", "") == "ENOENT" {
				m.Err = fmt.Errorf("read: %w", fs.ErrNotExist)
			}
		}
		w.deliver(m)
	case "cancelled":
		w.printf("%v", w.cancelled())
	case "pass":
		w.advance(span(t, d, "time"))
	case "shutdown":
		w.deliver(Shutdown{Removed: d.HasArg("removed")})
	case "change":
		s := w.durable.script
		version := arg(t, d, "version", "")
		s.Autostart, s.Executable, s.Refused = d.HasArg("autostart"), d.HasArg("program"), nil
		if d.HasArg("wrong") {
			s.Autostart, s.Refused = false, script.ErrInvalidHeader
		}
		w.deliver(ReplaceScript{Script: s, Version: version})
	case "trial":
		w.deliver(
			ValidationEnded{
				Run:  number(t, d, "number", w.durable.update.number),
				Exit: stap.Exit{Code: int(number(t, d, "code", 0)), Stage: stap.StageCompile},
			},
		)
	case "status":
		s := w.durable.status.Load()
		w.printf("%s held=%v new version=%q reason=%q", s.State, s.Paused, s.NewVersion, s.Reason)
	case "history":
		s := w.durable.status.Load()
		// without the jitter
		w.printf(
			"%s crash loop=%v quick ends=%d held off=%v",
			s.State,
			s.CrashLoop,
			s.ConsecutiveFailures,
			s.Backoff.Truncate(time.Minute),
		)
		for c := range scrape.EndCauses {
			w.printf("%s %d", c, s.History.Counts[c])
		}
		for _, e := range s.History.Last {
			w.printf(
				"run %d at %d s lasted %v: %s, code %d",
				e.Run,
				e.Time.Unix()-1_000_000,
				e.Duration.Truncate(time.Minute),
				e.Cause,
				e.Code,
			)
		}
	case "start":
		w.deliver(StartNow{})
	case "stop":
		w.deliver(StopNow{})
	case "restart":
		w.deliver(RestartNow{})
	case "kill":
		w.deliver(KillChild{})
	case "break":
		w.broken = true
	case "fix":
		w.broken = false
	case "bug":
		w.bug = true
	default:
		d.Fatalf(t, "no such command")
	}
	w.settle()
	w.collect()
	if !w.ended && w.hasEnded() {
		w.ended = true
		w.printf("end, left: %v", w.durable.ending.residue)
	}
}

func (w *world) hasEnded() bool {
	select {
	case <-w.durable.ending.done:
		return true
	default:
		return false
	}
}

func (w *world) cancelled() bool { return w.durable.reads.open != nil && w.durable.reads.open.expired }
