package guardian

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"stap-exporter/internal/cleanup"
	"stap-exporter/internal/proc"
)

const (
	idleWait = 3 * time.Second  // how long Close waits for a guardian that has nothing to do
	endWait  = 20 * time.Second // how long it waits for one that must clean up

	// A guardian that lived for less than healthyAge is replaced after a pause,
	// which doubles each time, from firstPause to lastPause; others at once.
	// While there is none, a KILL of this process leaves everything behind.
	healthyAge = time.Second
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
)

// Guardian is the exporter's end of the pipe to the guardian process, see Run.
// It replaces the process when it ends.
//
// The process reads its Cleaner from the pipe, which is written before the
// process starts, and then waits for the end of the pipe: nothing else is ever
// written. It finds what it must clean up itself, as the next start would.
//
// The methods may be called on nil, for an exporter without guardian, and from
// any goroutine.
type Guardian struct {
	argv    []string
	cleaner cleanup.Cleaner
	lock    *os.File // held by this process and by each guardian, see Lock
	log     *zap.Logger

	closing context.Context // done when Close was called
	cancel  context.CancelFunc
	done    chan struct{} // closed when keep has ended

	mu      sync.Mutex
	process *proc.Session // nil while there is none
	pipe    *os.File      // to it
}

// Start starts a guardian with the command line argv, and the goroutine that
// replaces it when it ends. A start that fails is logged and repeated. The
// guardian cleans up with cleaner. lock is from Lock, and Close closes it.
// Children started from now on do not inherit the descriptors that this process
// has inherited.
func Start(argv []string, cleaner cleanup.Cleaner, lock *os.File, log *zap.Logger) (*Guardian, error) {
	if err := closeOnExec(); err != nil {
		_ = lock.Close()
		return nil, err
	}
	g := &Guardian{
		argv:    argv,
		cleaner: cleaner,
		lock:    lock,
		log:     log,
		done:    make(chan struct{}),
	}
	g.closing, g.cancel = context.WithCancel(context.Background())
	process, err := g.spawn()
	go g.keep(process, err)
	return g, nil
}

// keep owns the guardian process: it waits for its end and starts the next.
func (g *Guardian) keep(process *proc.Session, err error) {
	defer close(g.done)
	pause := time.Duration(0)
	for {
		begun := time.Now()
		if err == nil {
			g.log.Debug("guardian started", zap.Int("os_pid", process.PID()))
			err = process.Wait()
			g.lost(process)
			if err == nil {
				err = errors.New("exit code 0")
			}
		}
		if g.closing.Err() != nil {
			return
		}
		young := time.Since(begun) < healthyAge
		if !young {
			pause = 0
		}
		if pause == 0 {
			g.log.Warn("guardian ended, starting another", zap.Error(err))
		} else {
			g.log.Debug("guardian ended again", zap.Error(err), zap.Duration("pause", pause))
		}
		if young {
			pause = min(max(2*pause, firstPause), lastPause)
		}
		select {
		case <-g.closing.Done():
			return
		case <-time.After(pause):
		}
		process, err = g.spawn()
	}
}

// spawn starts a guardian process. Its Cleaner is in the pipe before it starts,
// so that it has it however soon this process dies.
func (g *Guardian) spawn() (*proc.Session, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	defer func() { _ = r.Close() }()
	// A few hundred bytes: a new pipe has room for them.
	if err := gob.NewEncoder(w).Encode(g.cleaner); err != nil {
		_ = w.Close()
		return nil, fmt.Errorf("write to pipe: %w", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing.Err() != nil {
		_ = w.Close()
		return nil, errors.New("closing")
	}
	process, err := proc.StartSession(g.argv, r, g.lock) // the lock is lockFD there
	if err != nil {
		_ = w.Close()
		return nil, fmt.Errorf("start guardian: %w", err)
	}
	g.process, g.pipe = process, w
	return process, nil
}

// lost closes the pipe to a guardian process that has ended.
func (g *Guardian) lost(process *proc.Session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.process == process && g.pipe != nil {
		_ = g.pipe.Close()
		g.process, g.pipe = nil, nil
	}
}

// Close ends the guardian process and waits for it. Where a run has not ended,
// the process cleans up as if this process had died. One that has nothing to do
// and does not end in time is killed.
func (g *Guardian) Close() {
	if g == nil {
		return
	}
	busy, _ := os.ReadDir(filepath.Join(g.cleaner.Dir, "run"))
	wait := idleWait
	if len(busy) > 0 {
		wait = endWait
	}
	g.mu.Lock()
	g.cancel()
	process := g.process
	if g.pipe != nil {
		process.Signal(syscall.SIGCONT) // it may have been stopped
		_ = g.pipe.Close()
		g.pipe = nil
	}
	g.mu.Unlock()
	select {
	case <-g.done:
	case <-time.After(wait):
		if wait == idleWait && process != nil {
			g.log.Warn("guardian does not end, killing it", zap.Int("os_pid", process.PID()))
			process.Signal(syscall.SIGKILL)
			select {
			case <-g.done:
			case <-time.After(time.Second):
			}
			break
		}
		g.log.Warn("guardian is still cleaning up")
	}
	_ = g.lock.Close()
}

// closeOnExec marks the descriptors that this process has inherited. Those that
// Go opens are marked anyway.
func closeOnExec() error {
	entries, err := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		var fd int
		if _, err := fmt.Sscan(e.Name(), &fd); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return err
}
