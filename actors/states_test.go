package actors

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"stap-exporter/internal/exposition"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
	"stap-exporter/internal/stap"
)

var states = []scrape.State{
	scrape.Idle,
	scrape.Starting,
	scrape.Running,
	scrape.Stopping,
	scrape.BackingOff,
	scrape.Stopped,
}

// The comment that opens states.go names every state, and every way out of it
// that the code allows and none other.
func TestStateTableMatchesTheCode(t *testing.T) {
	source, err := os.ReadFile("states.go")
	if err != nil {
		t.Fatal(err)
	}
	comment, _, found := strings.Cut(string(source), "\nvar transitions")
	if !found {
		t.Fatal("no transitions in states.go")
	}
	table := map[string]map[string]bool{}
	for line := range strings.Lines(comment) {
		columns := regexp.MustCompile(` {2,}`).Split(strings.TrimSpace(strings.TrimPrefix(line, "//\t")), -1)
		if len(columns) != 4 || columns[0] == "state" {
			continue
		}
		if table[columns[0]] == nil {
			table[columns[0]] = map[string]bool{}
		}
		for to := range strings.SplitSeq(columns[3], ", ") {
			table[columns[0]][to] = true
		}
	}
	if len(table) != len(states) {
		t.Fatalf("the table is of %d states: %v", len(table), table)
	}
	for _, from := range states {
		for _, to := range states {
			if named, allowed := table[from.String()][to.String()], slices.Contains(
				transitions[from],
				to,
			); named != allowed {
				t.Errorf("%s -> %s: in the table %v, in the code %v", from, to, named, allowed)
			}
		}
	}
}

// Every message in every state: no panic but the one of an autostart script's
// end, no state without its table's way, every request answered once or kept.
func TestEveryMessageInEveryState(t *testing.T) {
	messages := map[string]func(w *world) any{
		"Started":           func(*world) any { return &actor.Started{} },
		"ReadMetrics":       func(w *world) any { return w.request("impatient", false) },
		"ReadMetrics wait":  func(w *world) any { return w.request("patient", true) },
		"ProcessProgressed": func(w *world) any { return ProcessProgressed{Run: w.her.run, OSPID: 1, Activity: "x"} },
		"ProcessReady": func(w *world) any {
			return ProcessReady{Ready: stap.Ready{Run: w.her.run, OSPID: 1}, Source: fakeSource{}}
		},
		"ProcessExited": func(w *world) any { return ProcessExited{Run: w.her.run, Exit: stap.Exit{Code: 1}} },
		"old ProcessReady": func(w *world) any {
			return ProcessReady{Ready: stap.Ready{Run: w.her.run - 1, OSPID: 1}, Source: fakeSource{}}
		},
		"old ProcessExited": func(w *world) any { return ProcessExited{Run: w.her.run - 1} },
		"AskerLeft": func(w *world) any {
			m := w.asked["first"]
			delete(w.asked, "first")
			return RequesterLeft{request: m}
		},
		"old AskerLeft": func(w *world) any { return RequesterLeft{request: w.asked["first"], number: 99} },
		"ReadFinished": func(w *world) any {
			return ReadFinished{Read: w.her.reads, Page: exposition.Sanitize([]byte("x 1\n"), exposition.Options{})}
		},
		"ReadExpired":      func(w *world) any { return ReadExpired{w.her.reads} },
		"ReadDue":          func(w *world) any { return ReadDue{w.her.reads} },
		"KeepaliveExpired": func(w *world) any { return KeepaliveExpired{w.actor.timer} },
		"RunProvedHealthy": func(w *world) any { return RunProvedHealthy{w.her.run} },
		"HoldOffExpired":   func(w *world) any { return BackoffExpired{w.actor.timer} },
		"old timers":       func(w *world) any { return BackoffExpired{w.actor.timer - 1} },
		"Shutdown":         func(*world) any { return Shutdown{} },
		"Removed":          func(*world) any { return Shutdown{Removed: true} },
		"ReplaceScript": func(w *world) any {
			return ReplaceScript{Script: script.Script{Name: "s.stp", Autostart: w.her.script.Autostart}, Version: "2"}
		},
		"ReplaceScript program": func(*world) any {
			return ReplaceScript{Script: script.Script{Name: "s.stp", Executable: true}, Version: "2"}
		},
		"ReplaceScript wrong": func(*world) any {
			return ReplaceScript{Script: script.Script{Name: "s.stp", Refused: script.ErrInvalidHeader}, Version: "2"}
		},
		"TrialEnded": func(w *world) any { return ValidationEnded{Run: w.her.validations} },
		"StartNow":   func(*world) any { return StartNow{} },
		"StopNow":    func(*world) any { return StopNow{} },
		"RestartNow": func(*world) any { return RestartNow{} },
		"KillChild":  func(*world) any { return KillChild{} },
	}
	for _, autostart := range []bool{false, true} {
		for _, state := range states {
			for name, message := range messages {
				t.Run(fmt.Sprintf("autostart=%v/%s/%s", autostart, state, name), func(t *testing.T) {
					w := worldIn(state, autostart)
					if w.actor.state != state {
						t.Fatalf("the world is in %s", w.actor.state)
					}
					if name == "Started" { // only ever the first message
						return
					}
					w.out.Reset()
					w.deliver(message(w))
					if strings.Contains(w.out.String(), "bug:") {
						t.Error(w.out.String())
					}
					w.advance(time.Hour)
					// Whatever happened, a shutdown ends it and answers all.
					w.deliver(Shutdown{})
					if w.her.process != nil {
						w.deliver(ProcessExited{Run: w.her.run, Exit: stap.Exit{Stopped: true}})
					}
					if w.her.validation != nil {
						w.deliver(ValidationEnded{Run: w.her.validations, Exit: stap.Exit{Stopped: true, Code: -1}})
					}
					w.settle()
					if w.actor.state != scrape.Stopped || !w.hasEnded() {
						t.Errorf("after shutdown: %s, reported: %v", w.actor.state, w.hasEnded())
					}
					if len(w.asked) != 0 {
						t.Errorf("unanswered requests: %v\n%s", w.asked, w.out.String())
					}
				})
			}
		}
	}
}

func (w *world) request(name string, wait bool) *ReadMetrics {
	m := &ReadMetrics{reply: make(chan reply, 1), Query: scrape.Query{Wait: wait, Deadline: w.now.Add(24 * time.Hour)}}
	w.asked[name] = m
	return m
}

// worldIn makes a script that has come to the state in the shortest way.
func worldIn(state scrape.State, autostart bool) *world {
	w := newWorld(script.Script{Name: "s.stp"}, 0)
	w.her.script.Autostart = autostart
	if autostart && state == scrape.Idle {
		w.her.script.Autostart = false // an autostart script is idle only while it is being born
	}
	w.spawn()
	if state == scrape.Idle {
		w.her.script.Autostart = autostart
		return w
	}
	if !autostart {
		w.deliver(w.request("first", true))
	}
	switch state {
	case scrape.Running:
		w.deliver(ProcessReady{Ready: stap.Ready{Run: 1}, Source: fakeSource{}})
	case scrape.Stopping:
		w.actor.becomeStopping(scrape.CauseStopRequested)
	case scrape.BackingOff:
		w.deliver(ProcessExited{Run: 1, Exit: stap.Exit{Code: 1}})
	case scrape.Stopped:
		w.deliver(Shutdown{})
		w.deliver(ProcessExited{Run: 1, Exit: stap.Exit{Stopped: true}})
	case scrape.Idle, scrape.Starting:
	}
	w.collect()
	return w
}

func newWorld(s script.Script, keepalive time.Duration) *world {
	w := &world{now: time.Unix(1_000_000, 0), asked: map[string]*ReadMetrics{}}
	w.cfg = &Config{
		Starter: w, Keepalive: keepalive, ReadTimeout: 10 * time.Second, MaxWaiting: 1000, Clock: w,
		Go: func(func()) { w.printf("read %d begins", w.her.reads) },
	}
	w.her = &durable{
		script:   s,
		ending:   &ending{done: make(chan struct{})},
		board:    new(atomic.Pointer[scrape.Status]),
		listen:   w.listen,
		requests: new(scrape.Requests),
		counted:  new(scrape.Reads),
	}
	w.her.board.Store(&scrape.Status{Script: s})
	return w
}
