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

// job is the work of a run.
type job struct {
	name   string // the script's, for the log
	module string
	class  class

	compileOnly bool // nothing is loaded or run
	yield       bool // it ends when another run compiles the same module

	// until the procfs file exists; for a run that offers none, until its end
	timeout time.Duration
	plan    func() (plan, error) // called in the run's goroutine, for each try
}

// Run is one start of one script. It ends with an Exited event, whether or not
// Stop or Kill are called.
type Run struct {
	host   *Host
	job    job
	number uint64
	report func(Event)
	log    *zap.Logger
	dir    string           // work directory, exists only while it runs
	lines  *stapout.LineLog // of its children's output
	slot   *slot
	queued time.Duration // how long it waited for the slot; for the run's goroutine only

	stopOnce   sync.Once
	after      <-chan struct{}    // set before stop is done
	stop, kill context.Context    // done when Stop or Kill was called
	stopped    context.CancelFunc // of stop
	killed     context.CancelFunc // of kill
	done       chan struct{}      // closed after Exited was reported

	// Of a kernel module, for the run's goroutine only.
	key         string       // its key in the cache; empty: it must not be cached
	compiled    bool         // by this run
	compilation *compilation // while this run compiles and others may wait for it
}

func (h *Host) start(j job, number uint64, report func(Event)) *Run {
	log := h.cfg.Logger.With(zap.String("script", j.name), zap.Uint64("run", number))
	r := &Run{
		host:   h,
		job:    j,
		number: number,
		report: report,
		log:    log,
		dir:    filepath.Join(h.cfg.Dir, "run", j.module),
		lines:  stapout.NewLineLog(log),
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

// Stop ends the run: it waits (bounded) until after is closed, which tells that
// the procfs file is not being read; sends TERM to the group, to a script that
// is loading only when it is up (bounded); waits (bounded); sends KILL; reaps
// and cleans up. after may be nil. Stop does not block, and calls after the
// first change nothing.
func (r *Run) Stop(after <-chan struct{}) {
	r.stopOnce.Do(func() {
		r.after = after
		r.stopped()
	})
}

// Kill ends the run with KILL at once, then reaps and cleans up. It may be
// called during a Stop. Kill does not block, and calls after the first change
// nothing.
func (r *Run) Kill() { r.killed() }

func (r *Run) ending() bool { return r.stop.Err() != nil || r.kill.Err() != nil }

// life is the run from before its first process to after its last.
func (r *Run) life() Exit {
	defer r.slot.release()
	if !r.awaitSlot() || r.ending() {
		return Exit{Stopped: true, Code: -1, Stage: toolchain.StageStart}
	}
	if residue := r.clean(); len(residue) > 0 {
		return Exit{
			Code:    -1,
			Stage:   toolchain.StageStart,
			Residue: residue,
			Err:     errors.New("start script: residue of an earlier run cannot be removed"),
			Remedy:  stapout.FindRemedy(strings.Join(residue, "\n")),
		}
	}
	exit := r.steps()
	if !exit.Ready && stapout.ProbeTaken(exit.Tail) && len(exit.Residue) == 0 && !r.ending() && len(r.clean()) == 0 {
		r.log.Info("another process with the same id has a probe, starting again")
		exit = r.steps()
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

// steps makes the plan and carries it out.
func (r *Run) steps() (exit Exit) {
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
		exit.Err = fmt.Errorf("make work directory: %w", err)
		return exit
	}
	env := proc.WithTag(r.host.tools.Environment(tmp, p.tree), r.dir)
	timeout := time.NewTimer(r.job.timeout)
	defer timeout.Stop()
	if p.Build != nil {
		return r.kernelModule(p, env, timeout.C)
	}
	r.compiled = true
	for i, s := range p.Steps {
		if r.ending() {
			return exit
		}
		exit = r.step(s, p.Direct, env, timeout.C)
		failed := exit.Err != nil || exit.Code != 0 || len(exit.Residue) > 0
		if failed || i == len(p.Steps)-1 || r.job.compileOnly {
			return exit
		}
	}
	return exit
}

// step runs one process, from its start until it is reaped and its group has
// ended.
func (r *Run) step(s toolchain.Step, direct bool, env []string, timeout <-chan time.Time) Exit {
	out := stapout.NewCapture(r.lines)
	c, err := proc.Start(s.Argv, env, r.dir, out)
	if err != nil {
		return Exit{Code: -1, Stage: s.Stage, Err: err}
	}
	self, ok := proc.Read(c.PID)
	if !ok {
		self.PID = c.PID // it has ended already
	}
	cleanup.Record(r.dir, self)
	w := &watch{
		run:    r,
		step:   s,
		child:  c,
		out:    out,
		direct: direct,
	}
	w.progress()
	err = w.follow(timeout)
	exit := Exit{Stage: w.stage(), Ready: w.ready, Err: err}
	exit.Residue = c.End(r.kill.Done(), r.host.cfg.TermGrace, r.host.cfg.KillGrace)
	exit.Code, exit.Signal = c.Status()
	out.Flush()
	text, before := out.Text()
	exit.Tail = stapout.UsefulTail(text, before)
	if pids := append(w.pids, c.PID); !exit.Ready && stapout.ProbeTaken(exit.Tail) {
		_ = r.host.cleaner.RemoveProbes(pids, 0) // its own; a busy one belongs to another process
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
