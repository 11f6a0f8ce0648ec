package runner

import (
	"cmp"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"stap-exporter/internal/cleanup"
	"stap-exporter/internal/guardian"
	"stap-exporter/internal/modcache"
	"stap-exporter/internal/proc"
	"stap-exporter/internal/script"
	"stap-exporter/internal/toolchain"
	"stap-exporter/internal/trust"
)

// Host is SystemTap on this machine. Its methods may be called from any
// goroutine.
type Host struct {
	cfg     Config
	system  toolchain.System
	tools   toolchain.Tools
	runtime atomic.Uint32 // a toolchain.Runtime, never Auto
	probe   *Run          // the capability probe; nil when none was needed
	cleaner cleanup.Cleaner
	guard   *guardian.Guardian // nil without Config.Guardian
	reaper  *proc.Reaper       // nil without Config.Subreaper

	queue     *startQueue
	idleStart time.Duration // the constant idleStart, shorter in a test

	cache      *modcache.Cache
	compiles   compilations
	background *precompiler // nil before Precompile
}

// NewHost finds SystemTap, makes the private directory, removes what an earlier
// exporter left there, starts the guardian and chooses the runtime. Where only
// a capability probe can tell the runtime, it goes on in the background until
// Close. Errors wrap toolchain.ErrNoStap when stap is not installed, and
// trust.ErrUntrusted when other users can change it.
func NewHost(cfg Config) (*Host, error) {
	sys, err := toolchain.ThisSystem()
	if err != nil {
		return nil, err
	}
	return newHost(cfg, sys)
}

func newHost(cfg Config, sys toolchain.System) (*Host, error) {
	cfg = cfg.withDefaults()
	t, err := toolchain.Find(cfg.Stap)
	if err != nil {
		return nil, err
	}
	t.Launcher = cfg.Launcher
	if cfg.Runtime == toolchain.BPF && t.Stapbpf == "" && t.StapbpfDenied == "" {
		return nil, fmt.Errorf("find stapbpf beside %s or in PATH: %w", t.Stap, toolchain.ErrNoStap)
	}
	if cfg.Dir, err = filepath.Abs(cfg.Dir); err != nil {
		return nil, fmt.Errorf("find private directory: %w", err)
	}
	if err := trust.MakePrivate(cfg.Dir); err != nil {
		return nil, fmt.Errorf("make private directory: %w", err)
	}
	if cfg.CacheDir, err = filepath.Abs(cfg.CacheDir); err != nil {
		return nil, fmt.Errorf("find cache directory: %w", err)
	}
	cache, err := modcache.New(filepath.Join(cfg.CacheDir, "modules"), cfg.CacheSize, modcache.Fingerprint{
		Release:    sys.Release,
		Version:    sys.Version,
		LibModules: sys.LibModules,
		Stap:       t.Stap,
	})
	if err != nil {
		return nil, err
	}
	if cfg.StapRuntime != "" { // absolute, since children have another working directory
		if t.RuntimeDir, err = filepath.Abs(cfg.StapRuntime); err != nil {
			return nil, fmt.Errorf("find SystemTap's runtime directory: %w", err)
		}
	}
	h := &Host{
		cfg:    cfg,
		system: sys,
		tools:  t,
		cleaner: cleanup.Cleaner{
			Staprun:   t.Staprun,
			Modules:   sys.Modules,
			FIFORoot:  cfg.Roots.FIFO,
			Tracing:   sys.Tracing,
			Dir:       cfg.Dir,
			CacheDir:  cache.Dir(),
			Prefix:    cfg.ModulePrefix,
			TermGrace: min(cleanup.MaxTermGrace, cfg.TermGrace),
			KillGrace: cfg.KillGrace,
			Wait:      cfg.CleanupWait,
		},
		cache:     cache,
		queue:     newStartQueue(cfg.MaxParallel),
		idleStart: idleStart,
	}
	if err := h.tools.CheckTrust(trust.Self()); err != nil {
		if !cfg.AllowInsecure {
			return nil, err
		}
		cfg.Logger.Warn("insecure SystemTap allowed", zap.Error(err))
	}
	if err := h.protect(); err != nil {
		return nil, err
	}
	h.chooseRuntime()
	return h, nil
}

// Close ends the work in the background and waits for it. The runs of Start
// must have ended before. With a guardian, those that have not are ended as if
// this process had died.
func (h *Host) Close() {
	h.background.close()
	if h.probe != nil {
		h.probe.Kill()
		<-h.probe.done
	}
	h.guard.Close()
	h.reaper.Close()
}

// protect makes sure that nothing is left behind: by an earlier exporter with
// this Dir, by this one, by its children.
func (h *Host) protect() error {
	if h.cfg.Subreaper {
		r, err := proc.StartReaper()
		if err != nil {
			return fmt.Errorf("adopt orphans: %w", err)
		}
		h.reaper = r
	}
	if len(h.cfg.Guardian) == 0 {
		h.cleanEarlier()
		return nil
	}
	lock, err := guardian.Lock(h.cfg.Dir, guardian.LockWait, h.cfg.Logger)
	if err == nil {
		h.cleanEarlier()
		// Without the prefix: the lock is on Dir, and modules of that prefix
		// that have no work directory in it may be those of an exporter with
		// another Dir, such as the same one in another container.
		cleaner := h.cleaner
		cleaner.Prefix = ""
		h.guard, err = guardian.Start(h.cfg.Guardian, cleaner, lock, h.cfg.Logger)
	}
	if err != nil {
		h.reaper.Close()
	}
	return err
}

// cleanEarlier removes what an earlier exporter of the same identity left when
// it and its guardian were killed.
func (h *Host) cleanEarlier() {
	found := h.cleaner.All()
	if found.Nothing() {
		return
	}
	h.cfg.Logger.Info(
		"residue of an earlier exporter removed",
		zap.Strings("modules", found.Modules),
		zap.Strings("processes", found.Processes),
	)
	if len(found.Residue) > 0 {
		h.cfg.Logger.Warn("residue of an earlier exporter cannot be removed", zap.Strings("residue", found.Residue))
	}
}

// Runtime returns the runtime of scripts that choose none: Kernel or BPF.
func (h *Host) Runtime() toolchain.Runtime { return toolchain.Runtime(h.runtime.Load()) }

// RuntimeOf returns the runtime with which s would start now: the one in its
// header or first line, otherwise that of Runtime. An executable script chooses
// for itself.
func (h *Host) RuntimeOf(s script.Script) toolchain.Runtime {
	if r, err := toolchain.ParseRuntime(s.Runtime); err == nil && r != toolchain.Auto {
		return r
	}
	return h.Runtime()
}

// Start starts s and returns at once. Its processes wait for a slot in the
// start queue, see Config.MaxParallel and Run.Prioritize. report gets the run's
// events, one at a time, from the run's own goroutine, each with number.
func (h *Host) Start(s script.Script, number uint64, report func(Event)) *Run {
	return h.start(job{
		name:    s.Name,
		module:  s.Module,
		class:   autostart,
		timeout: h.startTimeout(s),
		plan: func() (plan, error) {
			if err := h.checkScript(s); err != nil {
				return plan{}, err
			}
			if s.Executable || h.RuntimeOf(s) == toolchain.BPF {
				if err := h.makeFIFORoot(); err != nil {
					return plan{}, err
				}
			}
			return h.plan(s)
		},
	}, number, report)
}

func (h *Host) startTimeout(s script.Script) time.Duration {
	return cmp.Or(s.Directives.StartTimeout, h.cfg.StartTimeout)
}

// plan is a toolchain.Plan, and the bpf build tree for the environment of its
// processes.
type plan struct {
	toolchain.Plan
	tree string // empty: none
}

// plan returns what starting s takes. It may make the bpf build tree.
func (h *Host) plan(s script.Script) (plan, error) {
	runtime, tree := h.RuntimeOf(s), ""
	if s.Executable || runtime == toolchain.BPF {
		var err error
		// An executable script may need no tree, and reports it itself when it
		// does.
		if tree, err = h.system.BPFTree(h.cfg.Dir); err != nil && !s.Executable {
			return plan{}, err
		}
	}
	p, err := h.tools.Plan(s, runtime, tree)
	return plan{p, tree}, err
}
