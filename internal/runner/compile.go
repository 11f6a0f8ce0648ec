package runner

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"stap-exporter/internal/stapout"
	"stap-exporter/internal/toolchain"
)

// kernelModule runs a plan with a build: the module out of the cache, or else
// compiled into it, then staprun. A cached module that does not fit the kernel
// is compiled again, once.
func (r *Run) kernelModule(p toolchain.Plan, env []string, timeout <-chan time.Time) Exit {
	ko := filepath.Join(r.dir, p.Build.Module+toolchain.ModuleSuffix)
	for again := false; ; again = true {
		exit, ok := r.provide(p, ko, env, timeout)
		if ok && r.job.compileOnly {
			exit.Code = 0 // nothing was run where the cache had it
			return exit
		}
		if !ok || r.ending() {
			return exit
		}
		exit = r.stage(p.Steps[1], false, env, timeout)
		if exit.Ready || r.key == "" || !isStale(exit) {
			return exit
		}
		if err := r.host.cache.Remove(r.key); err != nil {
			r.host.cfg.Logger.Warn("cached module not removed", zap.String("script", r.job.name), zap.Error(err))
		}
		if r.compiled || again || r.ending() || len(exit.Residue) > 0 {
			return exit
		}
		r.host.cfg.Logger.Info(
			"cached module does not load, compiling it again",
			zap.String("script", r.job.name),
			zap.Strings("output", exit.Tail),
		)
		err := r.host.cleaner.Unload(p.Build.Module)
		if err = errors.Join(err, os.Remove(ko)); err != nil {
			exit.Residue = append(exit.Residue, fmt.Sprintf("module %s (%v)", p.Build.Module, err))
			return exit
		}
	}
}

// staleModule is what staprun, the kernel and stap's runtime say of a module
// that was compiled for something else. (staprun 4.8: moderror in
// staprun_funcs.c, of ENOEXEC, ENOENT and ESRCH; runtime/sym.c: build ids.)
var staleModule = regexp.MustCompile(
	`Invalid module format|version magic|Unknown symbol|disagrees about version of symbol|wrong symbol version|(?i:build-?id) mismatch`,
)

func isStale(e Exit) bool {
	return e.Code > 0 && staleModule.MatchString(strings.Join(e.Tail, "\n"))
}

// provide puts the module at ko, and says so in r.compiled and r.key. Not ok:
// exit says why not.
func (r *Run) provide(p toolchain.Plan, ko string, env []string, timeout <-chan time.Time) (exit Exit, ok bool) {
	h, log := r.host, r.host.cfg.Logger.With(zap.String("script", r.job.name))
	exit = Exit{Code: -1, Stage: toolchain.StageStart}
	r.key = ""
	if p.Build.NoReuse == "" {
		var err error
		if r.key, err = h.cache.Key(*p.Build); err != nil {
			log.Info("module is not cached", zap.Error(err))
		}
	}
	for r.key != "" {
		err := h.cache.Get(r.key, p.Build.Module, ko)
		if err == nil {
			r.compiled = false
			return exit, true
		}
		if !errors.Is(err, fs.ErrNotExist) {
			log.Info("cached module is not used", zap.Error(err))
		}
		key := r.key
		f, mine := h.compiles.join(key, r)
		if mine {
			r.compilation = f
			defer func() {
				f.exit, f.exit.Stopped = exit, r.ending()
				h.compiles.leave(key, f)
			}()
			break
		}
		if r.job.yield {
			return exit, false // a start is at it
		}
		if exit, over := r.await(f, timeout); over {
			return exit, false
		}
	}
	r.compiled = true
	begun := time.Now()
	exit = r.stage(p.Steps[0], false, env, timeout)
	ok = exit.Err == nil && exit.Code == 0 && len(exit.Residue) == 0
	if ok && r.key != "" {
		if err := h.cache.Keep(*p.Build, r.key, ko, begun); err != nil {
			log.Info("module is not cached", zap.Error(err))
			r.key = ""
		}
	}
	return exit, ok
}

// compiles are the compiles that are under way for the cache, by key. Its
// methods may be called from any goroutine.
type compiles struct {
	mu    sync.Mutex
	byKey map[string]*compilation
}

// flight is one compile for the cache, by the run that began it. Another run
// that needs the same module waits for it.
type compilation struct {
	run  *Run
	done chan struct{} // closed when it is over
	exit Exit          // how it ended; to be read after done

	mu       sync.Mutex
	activity string
	news     chan struct{} // has one element when activity changed
}

// join returns the compile of key, and whether it is r's own, to be ended with
// leave.
func (c *compiles) join(key string, r *Run) (f *compilation, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.byKey[key]; f != nil {
		return f, false
	}
	f = &compilation{
		run:      r,
		activity: stapout.Activity(1),
		done:     make(chan struct{}),
		news:     make(chan struct{}, 1),
	}
	if c.byKey == nil {
		c.byKey = map[string]*compilation{}
	}
	c.byKey[key] = f
	return f, true
}

func (c *compiles) leave(key string, f *compilation) {
	c.mu.Lock()
	delete(c.byKey, key)
	c.mu.Unlock()
	f.run.compilation = nil
	close(f.done)
}

// say tells who waits what the compile is doing.
func (f *compilation) say(activity string) {
	if f == nil {
		return
	}
	f.mu.Lock()
	f.activity = activity
	f.mu.Unlock()
	select {
	case f.news <- struct{}{}:
	default:
	}
}

// await waits for another run's compile and reports what it is doing. over:
// this run ends, as exit says; otherwise the compile is over and the cache may
// have the module.
func (r *Run) await(f *compilation, timeout <-chan time.Time) (exit Exit, over bool) {
	exit = Exit{Code: -1, Stage: toolchain.StageCompile}
	for {
		f.mu.Lock()
		activity := f.activity
		f.mu.Unlock()
		r.report(Progress{Run: r.number, Activity: activity, Compiling: true})
		select {
		case <-f.done:
			// A failure of stap itself is as good as our own. What ended the
			// other run otherwise, a stop or its bound, says nothing about us.
			e := f.exit
			return e, e.Code > 0 && e.Err == nil && !e.Stopped
		case <-f.news:
		case <-r.stop.Done():
			return exit, true
		case <-r.kill.Done():
			return exit, true
		case <-timeout:
			exit.Err = fmt.Errorf("start timeout: not done after %v (%s)", r.job.timeout, toolchain.StageCompile)
			return exit, true
		}
	}
}
