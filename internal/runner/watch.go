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

// idleStart is how long a starting run may use no processor time before it
// loses its place among those that go on at a time, where others wait: it
// hangs, and its start timeout may be minutes away.
const idleStart = 10 * time.Second

// watch follows one process of a run.
type watch struct {
	run     *Run
	stage   toolchain.Step
	child   *proc.Child
	out     *stapout.Capture
	direct  bool
	ready   bool
	fileErr error // why the procfs file is not there, when it is not just missing
	pids    []int // who else was in the group when it became ready: one of them may be stapbpf
}

// follow returns when the process has ended, or when it must end now: it is
// stopped, killed, or late (then with an error).
func (w *watch) follow(timeout <-chan time.Time) error {
	pause := proc.NewPauses(2*time.Millisecond, 50*time.Millisecond)
	var look <-chan time.Time
	if w.stage.Offers {
		look = time.After(pause.Next())
	}
	hangs := time.NewTicker(w.run.host.idleStart)
	defer hangs.Stop()
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
		case <-look:
			if w.checkFile() {
				look, timeout = nil, nil
				break
			}
			if w.direct && w.fileErr != nil {
				return w.fileErr // somebody else sits where our stapbpf writes
			}
			look = time.After(pause.Next())
		case <-hangs.C:
			if w.ready {
				hangs.Stop()
			} else if w.run.host.queue.hasWaiters() && idle.idle() {
				w.run.slot.release()
				hangs.Stop()
			}
		case <-timeout:
			return w.late()
		}
	}
}

// look reports Ready when the procfs file is there.
func (w *watch) checkFile() bool {
	file, ok := w.findFile()
	if ok {
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
	}
	return ok
}

func (w *watch) findFile() (procfile.File, bool) {
	file, err := w.run.host.cfg.Roots.Find(w.run.job.module, w.direct)
	w.fileErr = nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.fileErr = err
	}
	return file, err == nil
}

func (w *watch) late() error {
	if !w.stage.Offers {
		return fmt.Errorf("start timeout: not done after %v (%s)", w.run.job.timeout, w.activity())
	}
	if w.fileErr != nil {
		return fmt.Errorf("start timeout: no metrics after %v (%s): %w", w.run.job.timeout, w.activity(), w.fileErr)
	}
	return fmt.Errorf("start timeout: no metrics after %v (%s)", w.run.job.timeout, w.activity())
}

// beforeTERM waits for what must be waited for before a TERM does no harm: a
// reader that holds the procfs file makes the unloading hang, and a TERM to
// staprun while it loads leaves the module without a process (seen).
func (w *watch) beforeTERM() {
	cfg := w.run.host.cfg
	if w.run.after != nil {
		w.wait(cfg.AfterWait, w.run.after)
	}
	if w.at() != toolchain.StageLoad || !w.stage.Offers {
		return
	}
	limit := time.Now().Add(cfg.LoadWait)
	for p := proc.NewPauses(2*time.Millisecond, 50*time.Millisecond); time.Now().Before(limit); {
		if _, ok := w.findFile(); ok || !w.wait(p.Next(), nil) {
			return
		}
	}
}

// wait waits for d, and tells whether that went by without done, the child's
// end, or a Kill.
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

// at tells where the run stands.
func (w *watch) at() toolchain.Stage {
	switch {
	case w.ready:
		return toolchain.StageRun
	case w.stage.Offers && w.out.Pass() == stapout.PassLoad:
		return toolchain.StageLoad
	default:
		return w.stage.Stage
	}
}

func (w *watch) progress() {
	activity := w.activity()
	w.run.report(Progress{
		Run:       w.run.number,
		OSPID:     w.child.PID,
		Activity:  activity,
		Compiling: w.stage.Stage == toolchain.StageCompile,
		Output:    w.out.Tail,
	})
	w.run.compilation.say(activity)
}

func (w *watch) activity() string {
	if pass := w.out.Pass(); pass > 0 {
		return stapout.Activity(pass)
	}
	if w.stage.Stage == toolchain.StageCompile {
		return stapout.Activity(1)
	}
	return string(w.stage.Stage)
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

// idleWatch tells when a starting group hangs: when it used no processor time
// between two looks.
type idleWatch struct {
	group int
	used  time.Duration
	seen  bool
}

// idle looks once, and tells whether nothing was used since the look before.
func (w *idleWatch) idle() bool {
	used := proc.GroupUsage()[w.group].CPU
	same := w.seen && used == w.used
	w.used, w.seen = used, true
	return same
}
