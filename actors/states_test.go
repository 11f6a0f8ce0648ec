package actors

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"stap-exporter/internal/exposition"
	"stap-exporter/internal/runner"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
)

// messages makes each message of the protocol for the world that it comes to.
var messages = map[string]func(w *world) any{
	"Started":          func(*world) any { return &actor.Started{} },
	"ReadMetrics":      func(w *world) any { return w.request("no wait", false) },
	"ReadMetrics wait": func(w *world) any { return w.request("wait", true) },
	"ProcessProgressed": func(w *world) any {
		return ProcessProgressed{Run: w.durable.run.number, OSPID: 1, Activity: "x"}
	},
	"ProcessReady": func(w *world) any {
		return ProcessReady{Ready: runner.Ready{Run: w.durable.run.number, OSPID: 1}, Source: fakeSource{}}
	},
	"ProcessExited": func(w *world) any { return ProcessExited{Run: w.durable.run.number, Exit: runner.Exit{Code: 1}} },
	"old ProcessReady": func(w *world) any {
		return ProcessReady{Ready: runner.Ready{Run: w.durable.run.number - 1, OSPID: 1}, Source: fakeSource{}}
	},
	"old ProcessExited": func(w *world) any { return ProcessExited{Run: w.durable.run.number - 1} },
	"RequesterLeft": func(w *world) any {
		m := w.requests["first"]
		delete(w.requests, "first")
		return RequesterLeft{request: m}
	},
	"old RequesterLeft": func(w *world) any { return RequesterLeft{request: w.requests["first"], number: 99} },
	"ReadFinished": func(w *world) any {
		return ReadFinished{
			Read: w.durable.reads.number,
			Page: exposition.Sanitize([]byte("x 1\n"), exposition.Options{}),
		}
	},
	"ReadExpired":      func(w *world) any { return ReadExpired{w.durable.reads.number} },
	"ReadDue":          func(w *world) any { return ReadDue{w.durable.reads.number} },
	"KeepaliveExpired": func(w *world) any { return KeepaliveExpired{w.actor.timer} },
	"RunProvedHealthy": func(w *world) any { return RunProvedHealthy{w.durable.run.number} },
	"BackoffExpired":   func(w *world) any { return BackoffExpired{w.actor.timer} },
	"old timers":       func(w *world) any { return BackoffExpired{w.actor.timer - 1} },
	"Shutdown":         func(*world) any { return Shutdown{} },
	"Removed":          func(*world) any { return Shutdown{Removed: true} },
	"ReplaceScript": func(w *world) any {
		return ReplaceScript{Script: script.Script{Name: "s.stp", Autostart: w.durable.script.Autostart}, Version: "2"}
	},
	"ReplaceScript executable": func(*world) any {
		return ReplaceScript{Script: script.Script{Name: "s.stp", Executable: true}, Version: "2"}
	},
	"ReplaceScript invalid": func(*world) any {
		return ReplaceScript{Script: script.Script{Name: "s.stp", Refused: script.ErrInvalidHeader}, Version: "2"}
	},
	"ValidationEnded": func(w *world) any { return ValidationEnded{Run: w.durable.update.number} },
	"StartNow":        func(*world) any { return StartNow{} },
	"StopNow":         func(*world) any { return StopNow{} },
	"RestartNow":      func(*world) any { return RestartNow{} },
	"KillChild":       func(*world) any { return KillChild{} },
}

// Every message in every state: no panic but the one of an autostart script's
// end, no transition that is not in the table, every request answered once or
// kept.
func TestEveryMessageInEveryState(t *testing.T) {
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
					if w.durable.run.process != nil {
						w.deliver(ProcessExited{Run: w.durable.run.number, Exit: runner.Exit{Stopped: true}})
					}
					if w.durable.update.validation != nil {
						w.deliver(
							ValidationEnded{Run: w.durable.update.number, Exit: runner.Exit{Stopped: true, Code: -1}},
						)
					}
					w.settle()
					if w.actor.state != scrape.Stopped || !w.hasEnded() {
						t.Errorf("after shutdown: %s, reported: %v", w.actor.state, w.hasEnded())
					}
					if len(w.requests) != 0 {
						t.Errorf("unanswered requests: %v\n%s", w.requests, w.out.String())
					}
				})
			}
		}
	}
}

// Whatever comes to a dormant actor while everything panics, it fails only if
// it is woken, and a shutdown ends it.
func TestDormantActorDoesNotFail(t *testing.T) {
	wakes := []string{"StartNow", "StopNow", "RestartNow", "BackoffExpired"}
	for _, state := range []scrape.State{scrape.Idle, scrape.Running} {
		for name, message := range messages {
			t.Run(state.String()+"/"+name, func(t *testing.T) {
				w := worldIn(state, false)
				w.broken = true
				for range maxBugs {
					w.failures.ActorFailed(w.now, "bug")
				}
				w.actor.end()
				w.spawn()
				if !w.durable.status.Load().ActorFailed {
					t.Fatal("the actor is not dormant")
				}
				w.out.Reset()
				w.deliver(message(w))
				woken := slices.Contains(wakes, name) || strings.HasPrefix(name, "ReplaceScript")
				if failed := strings.Contains(w.out.String(), "actor failed: child"); failed != woken {
					t.Errorf("failed: %v\n%s", failed, w.out.String())
				}
				w.deliver(Shutdown{})
				if w.durable.run.process != nil {
					w.deliver(ProcessExited{Run: w.durable.run.number, Exit: runner.Exit{Stopped: true}})
				}
				w.collect()
				if !w.hasEnded() || len(w.requests) != 0 {
					t.Errorf("after shutdown: ended %v, unanswered %v", w.hasEnded(), w.requests)
				}
			})
		}
	}
}
