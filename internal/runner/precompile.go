package runner

import (
	"context"
	"time"

	"go.uber.org/zap"

	"stap-exporter/internal/script"
	"stap-exporter/internal/toolchain"
)

// precompileTimeout bounds the compilation of one module, on a busy or emulated
// machine.
const precompileTimeout = 30 * time.Minute

// precompiler compiles modules in the background, in one goroutine.
type precompiler struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// Precompile compiles the kernel modules of those scripts that are not in the
// cache yet, in the background, one at a time, until all are done or Close. It
// does nothing unless Config.Precompile is set. It must be called at most once,
// and returns at once.
//
// A start waits for it only when both need the same module, or where
// Config.MaxParallel is 1.
func (h *Host) Precompile(scripts []script.Script) {
	if !h.cfg.Precompile {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &precompiler{cancel: cancel, done: make(chan struct{})}
	h.background = p
	go func() {
		defer close(p.done)
		if h.probe != nil {
			select {
			case <-h.probe.done: // only now the runtime is known
			case <-ctx.Done():
			}
		}
		for _, s := range scripts {
			if ctx.Err() != nil {
				return
			}
			if !s.Executable && s.Refused == nil && h.RuntimeOf(s) == toolchain.Kernel && s.Options.NoReuse == "" {
				h.precompile(ctx, s)
			}
		}
	}()
}

// precompile is a run that ends after its first step. Its name is not that of
// the module, which may be running: the cleanup must not remove it.
func (h *Host) precompile(ctx context.Context, s script.Script) {
	log := h.cfg.Logger.With(zap.String("script", s.Name))
	var exit Exit
	compiled, begun := false, time.Now()
	r := h.start(job{
		name:        s.Name,
		module:      s.Module + ".background",
		class:       background,
		compileOnly: true,
		yield:       true,
		timeout:     precompileTimeout,
		plan: func() (plan, error) {
			if err := h.checkScript(s); err != nil {
				return plan{}, err
			}
			p, err := h.tools.Plan(s, toolchain.Kernel, "")
			return plan{Plan: p}, err
		},
	}, 0, func(e Event) {
		switch e := e.(type) {
		case Progress:
			compiled = compiled || e.Compiling // not when it only waited for its slot
		case Exited:
			exit = e.Exit
		}
	})
	select {
	case <-r.done:
	case <-ctx.Done():
		r.Kill()
		<-r.done
		return
	}
	switch {
	case exit.Code > 0 || exit.Err != nil:
		log.Warn("module not compiled in advance", zap.String("reason", exit.Reason()))
	case compiled && exit.Code == 0 && r.key != "":
		log.Info("module compiled in advance", zap.Duration("duration", time.Since(begun)-r.queued))
	}
}

func (p *precompiler) close() {
	if p == nil {
		return
	}
	p.cancel()
	<-p.done
}
