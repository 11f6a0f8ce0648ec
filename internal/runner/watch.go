package runner

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"stap-exporter/internal/cleanup"
	"stap-exporter/internal/proc"
	"stap-exporter/internal/procfile"
	"stap-exporter/internal/stapout"
	"stap-exporter/internal/toolchain"
)

// idleStart is how long a starting run may use no CPU time before it loses its
// slot, where others wait for one: it hangs, and its start timeout may be
// minutes away.
const idleStart = 10 * time.Second

// watch follows one process of a run. It belongs to the run's goroutine.
type watch struct {
	run     *Run
	step    toolchain.Step
	child   *proc.Child
	out     *stapout.Capture
	direct  bool
	ready   bool
	fileErr error // why the procfs file cannot be used; nil while it does not exist
	pids    []int // of the group when it became ready: one of them may be stapbpf
}

// follow returns when the process has ended, or when it must end now: it is
// stopped, killed, or late (then with an error).
func (w *watch) follow(timeout <-chan time.Time) error {
	pauses := proc.NewPauses(2*time.Millisecond, 50*time.Millisecond)
	var check <-chan time.Time
	if w.step.Offers {
		check = time.After(pauses.Next())
	}
	hang := time.NewTicker(w.run.host.idleStart)
	defer hang.Stop()
	idle := idleWatch{group: w.child.PID}
	for {
		select {
		case <-w.child.Ended():
			return nil
		case <-w.run.kill.Done():
			return nil
		case <-w.run.stop.Done():
			w.beforeTERM()
			return nil
		case <-w.out.News():
			if !w.ready {
				w.progress()
			}
		case <-check:
			if w.checkFile() {
				check, timeout = nil, nil
				break
			}
			if w.direct && w.fileErr != nil {
				return w.fileErr // another process has put it where our stapbpf writes
			}
			check = time.After(pauses.Next())
		case <-hang.C:
			if w.ready {
				hang.Stop()
			} else if w.run.host.queue.hasWaiters() && idle.idle() {
				w.run.slot.release()
				hang.Stop()
			}
		case <-timeout:
			return w.late()
		}
	}
}

// checkFile reports Ready when the procfs file exists.
func (w *watch) checkFile() bool {
	file, ok := w.findFile()
	if !ok {
		return false
	}
	w.ready = true
	w.run.slot.release()
	writer := w.child.PID
	if !w.direct {
		members := w.child.Members()
		for _, m := range members {
			w.pids = append(w.pids, m.PID)
		}
		cleanup.Record(w.run.dir, members...)
		writer = writerOf(members, writer)
	}
	w.run.report(Ready{
		Run:      w.run.number,
		OSPID:    w.child.PID,
		File:     file,
		Alive:    func() bool { return proc.Alive(writer) },
		Compiled: w.run.compiled,
		Output:   w.out.Tail,
		Queued:   w.run.queued,
	})
	return true
}

func (w *watch) findFile() (procfile.File, bool) {
	file, err := w.run.host.cfg.Roots.Find(w.run.job.module, w.direct)
	w.fileErr = nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.fileErr = err
	}
	return file, err == nil
}

// writerOf is the process that writes the procfs file, as well as can be known:
// the stapbpf among the members of a child's group, or the child itself.
func writerOf(members []proc.Process, child int) int {
	for _, m := range members {
		if m.Name == "stapbpf" {
			return m.PID
		}
	}
	return child
}

func (w *watch) late() error {
	if !w.step.Offers {
		return fmt.Errorf("start timeout: not done after %v (%s)", w.run.job.timeout, w.activity())
	}
	if w.fileErr != nil {
		return fmt.Errorf("start timeout: no metrics after %v (%s): %w", w.run.job.timeout, w.activity(), w.fileErr)
	}
	return fmt.Errorf("start timeout: no metrics after %v (%s)", w.run.job.timeout, w.activity())
}

// beforeTERM waits (bounded) until a TERM does no harm. Observed with SystemTap
// 4.8: unloading hangs while a reader holds the procfs file, and a TERM to
// staprun while it loads leaves the module loaded without a process.
func (w *watch) beforeTERM() {
	cfg := w.run.host.cfg
	if w.run.after != nil {
		w.wait(cfg.AfterWait, w.run.after)
	}
	if w.stage() != toolchain.StageLoad || !w.step.Offers {
		return
	}
	limit := time.Now().Add(cfg.LoadWait)
	for p := proc.NewPauses(2*time.Millisecond, 50*time.Millisecond); time.Now().Before(limit); {
		if _, ok := w.findFile(); ok || !w.wait(p.Next(), nil) {
			return
		}
	}
}

// wait waits for d, and reports whether d passed before done, the child's end,
// or a Kill.
func (w *watch) wait(d time.Duration, done <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-done:
	case <-w.child.Ended():
	case <-w.run.kill.Done():
	}
	return false
}

func (w *watch) stage() toolchain.Stage {
	switch {
	case w.ready:
		return toolchain.StageRun
	case w.step.Offers && w.out.Pass() == stapout.PassLoad:
		return toolchain.StageLoad
	default:
		return w.step.Stage
	}
}

func (w *watch) progress() {
	activity := w.activity()
	w.run.report(Progress{
		Run:       w.run.number,
		OSPID:     w.child.PID,
		Activity:  activity,
		Compiling: w.step.Stage == toolchain.StageCompile,
		Output:    w.out.Tail,
	})
	w.run.compilation.progress(activity)
}

func (w *watch) activity() string {
	if pass := w.out.Pass(); pass > 0 {
		return stapout.Activity(pass)
	}
	if w.step.Stage == toolchain.StageCompile {
		return stapout.Activity(1)
	}
	return string(w.step.Stage)
}

// idleWatch detects that a starting group hangs: it uses no CPU time between
// two checks.
type idleWatch struct {
	group   int
	used    time.Duration
	checked bool
}

// idle checks once, and reports whether nothing was used since the last check.
func (w *idleWatch) idle() bool {
	used := proc.GroupUsage()[w.group].CPU
	same := w.checked && used == w.used
	w.used, w.checked = used, true
	return same
}
