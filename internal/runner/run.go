package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"stap-exporter/internal/cleanup"
	"stap-exporter/internal/proc"
	"stap-exporter/internal/stapout"
	"stap-exporter/internal/toolchain"
)

// job is what a run is to do.
type job struct {
	name   string // the script's, for the log
	module string
	class  class // whom it waits for before it may start

	compileOnly bool // nothing is loaded or run
	yield       bool // it ends when another run compiles the same module

	// until the procfs file is there; for a run that offers none, until its end
	timeout time.Duration
	plan    func() (toolchain.Plan, error) // called in the run's goroutine, for each try
	env     func(tmp string) []string
}

// Run is one start of one script. It ends with an Exited event, whether or not
// Stop or Kill are called.
type Run struct {
	host   *Host
	job    job
	number uint64
	report func(Event)
	dir    string           // work folder, only while it runs
	log    *stapout.LineLog // its children's output
	slot   *slot            // its place among the starts
	queued time.Duration    // how long it waited for that; for the run's goroutine only

	stopOnce   sync.Once
	after      <-chan struct{}    // set before stop is done
	stop, kill context.Context    // done when Stop or Kill was called
	stopped    context.CancelFunc // of stop
	killed     context.CancelFunc // of kill
	done       chan struct{}      // closed after Exited was reported

	// Of a kernel module, for the run's goroutine only.
	key         string       // its key in the cache, empty when it is not to be cached
	compiled    bool         // by this run
	compilation *compilation // its compile, while others may wait for it
}

func (h *Host) start(j job, number uint64, report func(Event)) *Run {
	r := &Run{
		host:   h,
		job:    j,
		number: number,
		report: report,
		dir:    filepath.Join(h.cfg.Dir, "run", j.module),
		log:    stapout.NewLineLog(h.cfg.Logger.With(zap.String("script", j.name), zap.Uint64("run", number))),
		done:   make(chan struct{}),
		slot:   h.queue.join(j.class),
	}
	r.stop, r.stopped = context.WithCancel(context.Background())
	r.kill, r.killed = context.WithCancel(context.Background())
	go func() {
		defer close(r.done)
		r.report(Exited{Run: number, Exit: r.life()})
	}()
	return r
}

// Stop asks the run to end: it waits (bounded) until after is closed, for
// whoever reads the procfs file to let go of it; TERM to the group, for a
// script that is loading only once it is up (bounded); a bounded wait; KILL;
// reap; sweep. after may be nil. Calls after the first change nothing.
func (r *Run) Stop(after <-chan struct{}) {
	r.stopOnce.Do(func() {
		r.after = after
		r.stopped()
	})
}

// Kill asks the run to end with KILL at once, then reap and sweep. It may be
// called during a Stop. Calls after the first change nothing.
func (r *Run) Kill() {
	r.killed()
}

func (r *Run) ending() bool { return r.stop.Err() != nil || r.kill.Err() != nil }

// life is the run from before its first process to after its last.
func (r *Run) life() Exit {
	defer r.slot.release()
	if !r.awaitSlot() || r.ending() {
		return Exit{Stopped: true, Code: -1, Stage: toolchain.StageStart}
	}
	if left := r.clean(); len(left) > 0 {
		return Exit{
			Code:    -1,
			Stage:   toolchain.StageStart,
			Residue: left,
			Err:     errors.New("start script: what an earlier run left cannot be removed"),
			Remedy:  stapout.FindRemedy(strings.Join(left, "\n")),
		}
	}
	exit := r.stages()
	if !exit.Ready && stapout.ProbeTaken(exit.Tail) && len(exit.Residue) == 0 && !r.ending() && len(r.clean()) == 0 {
		r.host.cfg.Logger.Info(
			"another process of this number has a probe, starting once more",
			zap.String("script", r.job.name),
			zap.Uint64("run", r.number),
		)
		exit = r.stages()
	}
	r.slot.release()
	exit.Residue = append(exit.Residue, r.clean()...)
	exit.Stopped = r.ending()
	if exit.Err != nil && exit.Remedy == "" {
		exit.Remedy = stapout.FindRemedy(exit.Err.Error())
	}
	return exit
}

// clean removes what the run left. No child of it may live.
func (r *Run) clean() (residue []string) {
	return r.host.cleaner.Run(r.kill.Done(), r.job.module, r.dir)
}

func (r *Run) stages() (exit Exit) {
	exit = Exit{Code: -1, Stage: toolchain.StageStart}
	if err := r.host.checkTools(); err != nil {
		exit.Err = err
		return exit
	}
	p, err := r.job.plan()
	if err != nil {
		exit.Err = err
		return exit
	}
	tmp := filepath.Join(r.dir, "tmp")
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		exit.Err = fmt.Errorf("make work folder: %w", err)
		return exit
	}
	timeout := time.NewTimer(r.job.timeout)
	defer timeout.Stop()
	if p.Build != nil {
		return r.kernelModule(p, proc.WithTag(r.job.env(tmp), r.dir), timeout.C)
	}
	r.compiled = true
	for i, st := range p.Steps {
		if r.ending() {
			return exit
		}
		exit = r.stage(st, p.Direct, proc.WithTag(r.job.env(tmp), r.dir), timeout.C)
		failed := exit.Err != nil || exit.Code != 0 || len(exit.Residue) > 0
		if failed || i == len(p.Steps)-1 || r.job.compileOnly {
			return exit
		}
	}
	return exit
}

// stage runs one process from its start until it is reaped and its group gone.
func (r *Run) stage(st toolchain.Step, direct bool, env []string, timeout <-chan time.Time) Exit {
	out := stapout.NewCapture(r.log)
	c, err := proc.Start(st.Argv, env, r.dir, out)
	if err != nil {
		return Exit{Code: -1, Stage: st.Stage, Err: err}
	}
	if p, ok := proc.Read(c.PID); ok {
		cleanup.Record(r.dir, p)
	} else {
		cleanup.Record(r.dir, proc.Process{PID: c.PID}) // it has ended already
	}
	w := &watch{
		run:    r,
		stage:  st,
		child:  c,
		out:    out,
		direct: direct,
	}
	w.progress()
	err = w.follow(timeout)
	exit := Exit{
		Code:  -1,
		Stage: w.at(),
		Ready: w.ready,
		Err:   err,
	}
	exit.Residue = c.End(r.kill.Done(), r.host.cfg.TermGrace, r.host.cfg.KillGrace)
	exit.Code, exit.Signal = c.Status()
	out.Flush()
	text, before := out.Text()
	exit.Tail = stapout.UsefulTail(text, before)
	if pids := append(w.pids, c.PID); !exit.Ready && stapout.ProbeTaken(exit.Tail) {
		_ = r.host.cleaner.RemoveProbes(pids, 0) // its own; what is busy is somebody else's
	} else {
		exit.Residue = append(exit.Residue, r.host.cleaner.RemoveProbes(pids, r.host.cfg.CleanupWait)...)
	}
	if !r.ending() && (exit.Code > 0 || exit.Err != nil) {
		exit.Remedy = stapout.FindRemedy(text)
	}
	if exit.Remedy == "" && !r.ending() && (exit.Code != 0 || exit.Err != nil) && stapout.DiskFull(r.dir) {
		exit.Remedy = stapout.DiskRemedy
	}
	return exit
}
