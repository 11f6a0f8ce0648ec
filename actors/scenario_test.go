package actors

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"stap-exporter/internal/exposition"
	"stap-exporter/internal/runner"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
	"stap-exporter/internal/toolchain"
)

// TestScenarios runs the files in testdata. Each is the life of one script:
// commands, and what follows from each of them. Process, clock and supervisor
// are stand-ins that the commands control. "go test ./actors -run Scenarios
// -rewrite" writes what follows.
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var w *world
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "script" {
				w = newWorld(script.Script{Name: "s.stp", Autostart: d.HasArg("autostart")}, span(t, d, "keepalive"))
				w.cfg.MaxWaiting = int(number(t, d, "limit", uint64(w.cfg.MaxWaiting)))
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
	case "request":
		for _, a := range d.CmdArgs {
			if a.Key == "wait" || a.Key == "passive" {
				continue
			}
			m := &ReadMetrics{reply: make(chan reply, 1), Query: scrape.Query{Deadline: w.now.Add(20 * time.Second)}}
			if d.HasArg("wait") {
				m.Query = scrape.Query{Wait: true, Deadline: w.now.Add(span(t, d, "wait"))}
			}
			m.Query.Passive = d.HasArg("passive")
			w.requests[a.Key] = m
			w.deliver(m)
		}
	case "disconnect":
		for _, a := range d.CmdArgs {
			m := w.requests[a.Key]
			delete(w.requests, a.Key)
			w.deliver(RequesterLeft{request: m})
		}
	case "progress":
		w.deliver(ProcessProgressed{Run: run(), OSPID: 7, Activity: strings.TrimSpace(d.Input)})
		w.printf("activity: %q", w.durable.status.Load().Activity)
	case "ready":
		w.deliver(
			ProcessReady{
				Ready:  runner.Ready{Run: run(), OSPID: 7},
				Source: fakeSource{w: w, mustDrain: d.HasArg("must-drain"), pace: int(number(t, d, "pace", 0))},
			},
		)
	case "exit":
		exit := runner.Exit{Code: int(number(t, d, "code", 0)), Stage: toolchain.StageRun, Stopped: d.HasArg("stopped")}
		if d.HasArg("residue") {
			exit.Residue = []string{arg(t, d, "residue", "")}
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
	case "abandoned":
		w.printf("%v", w.abandoned())
	case "pass":
		w.advance(span(t, d, "time"))
	case "shutdown":
		w.deliver(Shutdown{Removed: d.HasArg("removed")})
	case "change":
		s := w.durable.script
		version := arg(t, d, "version", "")
		s.Autostart, s.Executable, s.Refused = d.HasArg("autostart"), d.HasArg("executable"), nil
		if d.HasArg("invalid") {
			s.Autostart, s.Refused = false, script.ErrInvalidHeader
		}
		w.deliver(ReplaceScript{Script: s, Version: version})
	case "validated":
		w.deliver(
			ValidationEnded{
				Run:  number(t, d, "number", w.durable.update.number),
				Exit: runner.Exit{Code: int(number(t, d, "code", 0)), Stage: toolchain.StageCompile},
			},
		)
	case "status":
		s := w.durable.status.Load()
		w.printf("%s paused=%v new version=%q reason=%q", s.State, s.Paused, s.NewVersion, s.Reason)
		if s.ActorFailed {
			w.printf("the handle answers, not the actor")
		}
	case "history":
		s := w.durable.status.Load()
		// without the jitter
		w.printf(
			"%s crash loop=%v failures=%d back-off=%v",
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
				"run %d at %d s ran for %v: %s, code %d",
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
		w.printf("end, residue: %v", w.durable.ending.residue)
	}
}
