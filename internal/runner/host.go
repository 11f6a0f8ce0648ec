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
	runtime atomic.Uint32 // a Runtime, never Auto
	probe   *Run          // the trial of kernel modules, nil when there was none
	cleaner cleanup.Cleaner
	guard   *guardian.Guardian // nil without Config.Guardian
	reaper  *proc.Reaper       // nil without Config.Subreaper

	queue     *startQueue
	idleStart time.Duration // idleStart, shorter in a test

	cache      *modcache.Cache
	compiles   compiles
	background *precompiler // nil before Precompile
}

// NewHost looks for SystemTap, makes the private folder and chooses the
// runtime, which may go on in the background until Close. Errors wrap ErrNoStap
// when stap is not there, and trust.ErrUntrusted when others can change it.
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
		return nil, fmt.Errorf("find private folder: %w", err)
	}
	if err := trust.MakePrivate(cfg.Dir); err != nil {
		return nil, fmt.Errorf("make private folder: %w", err)
	}
	if cfg.CacheDir, err = filepath.Abs(cfg.CacheDir); err != nil {
		return nil, fmt.Errorf("find cache folder: %w", err)
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
	if cfg.StapRuntime != "" { // children have a folder of their own
		if t.RuntimeDir, err = filepath.Abs(cfg.StapRuntime); err != nil {
			return nil, fmt.Errorf("find SystemTap's runtime folder: %w", err)
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
		cfg.Logger.Warn("SystemTap allowed though not safe", zap.Error(err))
	}
	if err := h.protect(); err != nil {
		return nil, err
	}
	h.chooseRuntime()
	return h, nil
}

// Close ends the work in the background and waits for it. It does not touch the
// runs of Start, which should have ended before: with a guardian, those that
// have not are ended as if this process had died.
func (h *Host) Close() {
	h.background.close()
	if h.probe != nil {
		h.probe.Kill()
		<-h.probe.done
	}
	h.guard.Close()
	h.reaper.Close()
}

// protect makes sure that nothing is left behind: by an earlier exporter of
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
		h.guard, err = guardian.Start(h.cfg.Guardian, h.cleaner, lock, h.cfg.Logger)
	}
	if err != nil {
		h.reaper.Close()
	}
	return err
}

// cleanEarlier removes what an earlier exporter of the same identity left when
// both it and its guardian were killed, and logs what it found.
func (h *Host) cleanEarlier() {
	found := h.cleaner.All()
	if found.Nothing() {
		return
	}
	h.cfg.Logger.Info(
		"removed what an earlier exporter left",
		zap.Strings("modules", found.Modules),
		zap.Strings("processes", found.Processes),
	)
	if len(found.Residue) > 0 {
		h.cfg.Logger.Warn("an earlier exporter left what cannot be removed", zap.Strings("left", found.Residue))
	}
}

// Runtime is what scripts that are no programs themselves are started with now:
// Kernel or BPF.
func (h *Host) Runtime() toolchain.Runtime { return toolchain.Runtime(h.runtime.Load()) }

// runtimeOf is what s is started with: what its header or first line asks for,
// otherwise as Runtime says.
func (h *Host) runtimeOf(s script.Script) toolchain.Runtime {
	if r, err := toolchain.ParseRuntime(s.Runtime); err == nil && r != toolchain.Auto {
		return r
	}
	return h.Runtime()
}

// Start starts s and returns at once; its processes wait for their turn, see
// Config.MaxParallel and Run.Hurry. report gets the run's events, one at a
// time, from the run's own goroutine; number is handed back in each.
func (h *Host) Start(s script.Script, number uint64, report func(Event)) *Run {
	var tree string
	return h.start(job{
		name:    s.Name,
		module:  s.Module,
		class:   autostart,
		timeout: cmp.Or(s.Directives.StartTimeout, h.cfg.StartTimeout),
		plan: func() (toolchain.Plan, error) {
			if err := h.checkScript(s); err != nil {
				return toolchain.Plan{}, err
			}
			runtime := h.runtimeOf(s)
			if s.Executable || runtime == toolchain.BPF {
				if err := h.makeFIFORoot(); err != nil {
					return toolchain.Plan{}, err
				}
				var err error
				// An executable may need no tree, and says so itself when it
				// does.
				if tree, err = h.system.BPFTree(h.cfg.Dir); err != nil && !s.Executable {
					return toolchain.Plan{}, err
				}
			}
			return h.tools.Plan(s, runtime, tree)
		},
		env: func(tmp string) []string { return h.tools.Environment(tmp, tree) },
	}, number, report)
}
