package runner

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"go.uber.org/zap"

	"stap-exporter/internal/toolchain"
)

// kernelModule carries out a plan with a Build: it takes the module from the
// cache, or compiles it into the cache, and then runs staprun. A cached module
// that does not fit the kernel is compiled again, once.
func (r *Run) kernelModule(p plan, env []string, timeout <-chan time.Time) Exit {
	ko := filepath.Join(r.dir, p.Build.Module+toolchain.ModuleSuffix)
	for again := false; ; again = true {
		exit, ok := r.provide(p, ko, env, timeout)
		if ok && r.job.compileOnly {
			exit.Code = 0 // it is -1 when the module was in the cache
			return exit
		}
		if !ok || r.ending() {
			return exit
		}
		exit = r.step(p.Steps[1], false, env, timeout)
		if exit.Ready || r.key == "" || !isStale(exit) {
			return exit
		}
		if err := r.host.cache.Remove(r.key); err != nil {
			r.log.Warn("cached module not removed", zap.Error(err))
		}
		if r.compiled || again || r.ending() || len(exit.Residue) > 0 {
			return exit
		}
		r.log.Info("cached module does not load, compiling it again", zap.Strings("output", exit.Tail))
		err := r.host.cleaner.Unload(p.Build.Module)
		if err = errors.Join(err, os.Remove(ko)); err != nil {
			exit.Residue = append(exit.Residue, fmt.Sprintf("module %s (%v)", p.Build.Module, err))
			return exit
		}
	}
}

// staleModule matches what staprun, the kernel and stap's runtime report about
// a module that was compiled for something else. (SystemTap 4.8: moderror in
// staprun_funcs.c, for ENOEXEC, ENOENT and ESRCH; runtime/sym.c: build ids.)
var staleModule = regexp.MustCompile(
	`Invalid module format|version magic|Unknown symbol|disagrees about version of symbol|` +
		`wrong symbol version|(?i:build-?id) mismatch`,
)

func isStale(e Exit) bool {
	return e.Code > 0 && staleModule.MatchString(strings.Join(e.Tail, "\n"))
}

// provide puts the module at ko, and sets r.compiled and r.key. When not ok,
// exit is why not.
func (r *Run) provide(p plan, ko string, env []string, timeout <-chan time.Time) (exit Exit, ok bool) {
	h := r.host
	exit = Exit{Code: -1, Stage: toolchain.StageStart}
	r.key = ""
	if p.Build.NoReuse == "" {
		var err error
		if r.key, err = h.cache.Key(*p.Build); err != nil {
			r.log.Info("module is not cached", zap.Error(err))
		}
	}
	for r.key != "" {
		err := h.cache.Get(r.key, p.Build.Module, ko)
		if err == nil {
			r.compiled = false
			return exit, true
		}
		if !errors.Is(err, fs.ErrNotExist) {
			r.log.Info("cached module is not used", zap.Error(err))
		}
		key := r.key
		c, mine := h.compiles.join(key, r)
		if mine {
			r.compilation = c
			defer func() {
				c.exit, c.exit.Stopped = exit, r.ending()
				h.compiles.leave(key, c)
			}()
			break
		}
		if r.job.yield {
			return exit, false // another run compiles it
		}
		if exit, over := r.await(c, timeout); over {
			return exit, false
		}
	}
	r.compiled = true
	begun := time.Now()
	exit = r.step(p.Steps[0], false, env, timeout)
	ok = exit.Err == nil && exit.Code == 0 && len(exit.Residue) == 0
	if ok && r.key != "" {
		if err := h.cache.Keep(*p.Build, r.key, ko, begun); err != nil {
			r.log.Info("module is not cached", zap.Error(err))
			r.key = ""
		}
	}
	return exit, ok
}
