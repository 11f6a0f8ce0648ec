package stap

import (
	"fmt"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"stap-exporter/internal/script"
)

const (
	// for one module: a niced compile on a busy machine takes its time
	precompileTimeout = 30 * time.Minute

	lowest = 19 // setpriority(2): the lowest priority
)

// precompiler compiles modules ahead, in one goroutine.
type precompiler struct {
	stopOnce   sync.Once
	stop, done chan struct{}
}

// Precompile compiles the kernel modules of those scripts into the cache that
// are not there yet, in the background, one at a time and at the lowest
// priority, until all are done or Close. It does nothing unless
// Config.Precompile is set. It must be called at most once, and returns at
// once.
//
// A start never waits for it, but for the one module that both want: that
// compile then goes on at normal priority, or, where this user may not raise a
// priority, is given up for the start's own. Where Config.MaxParallel is 1
// every start waits for the compile that is under way, which therefore has
// normal priority.
func (h *Host) Precompile(scripts []script.Script) {
	if !h.cfg.Precompile {
		return
	}
	p := &precompiler{stop: make(chan struct{}), done: make(chan struct{})}
	h.ahead = p
	go func() {
		defer close(p.done)
		if h.trial != nil {
			select {
			case <-h.trial.done: // only now the runtime is known
			case <-p.stop:
			}
		}
		for _, s := range scripts {
			if isClosed(p.stop) {
				return
			}
			if !s.Executable && s.Refused == nil && h.runtimeOf(s) == Kernel && s.Options.NoReuse == "" {
				h.precompile(s, p.stop)
			}
		}
	}()
}

// precompile is a run that ends after its first stage. Its name is not the
// module's: that may be running meanwhile, and must not be taken for what this
// run leaves.
func (h *Host) precompile(s script.Script, stop <-chan struct{}) {
	log := h.cfg.Logger.With(zap.String("script", s.Name))
	var exit Exit
	compiled, begun := false, time.Now()
	r := h.start(job{
		name:    s.Name,
		module:  s.Module + ".ahead",
		timeout: precompileTimeout,
		ahead:   true,
		class:   ahead,
		plan: func() (plan, error) {
			p, err := commands(h.tools, s, Kernel, "")
			if p.build != nil {
				p.build.only, p.build.ahead = true, true
			}
			return p, err
		},
		env: func(tmp string) []string { return h.environment(tmp, "") },
	}, 0, func(e Event) {
		switch e := e.(type) {
		case Progress:
			compiled = compiled || e.Compiling // it may only have waited for its turn
		case Exited:
			exit = e.Exit
		}
	})
	select {
	case <-r.done:
	case <-stop:
		r.Kill()
		<-r.done
		return
	}
	switch {
	case exit.Code > 0 || exit.Err != nil:
		log.Warn("module not compiled ahead", zap.String("reason", exit.Reason()))
	case compiled && exit.Code == 0 && r.key != "":
		log.Info("module compiled ahead", zap.Duration("took", time.Since(begun)-r.queued))
	}
}

func (p *precompiler) close() {
	if p == nil {
		return
	}
	p.stopOnce.Do(func() { close(p.stop) })
	<-p.done
}

// hurryUp lets a compile ahead go on at normal priority: a start waits for it.
// For other runs it does nothing.
func (r *Run) hurryUp() {
	if r.hurry != nil {
		r.hurryOnce.Do(func() { close(r.hurry) })
	}
}

// setPriority sets the priority of a whole group, and of what it will start.
func (c *child) setPriority(nice int) error {
	if err := unix.Setpriority(unix.PRIO_PGRP, c.pid, nice); err != nil {
		return fmt.Errorf("set priority of %s: %w", c.cmd.Path, err)
	}
	return nil
}

// environment is what this Host's children get, see the function of that name.
func (h *Host) environment(tmp, tree string) []string {
	env := environment(os.Environ(), tmp, tree)
	if h.tools.runtime != "" && os.Getenv("SYSTEMTAP_RUNTIME") == "" {
		// for wrappers, which get no option; stap(1) names it as the same as -R
		env = append(env, "SYSTEMTAP_RUNTIME="+h.tools.runtime)
	}
	return env
}
