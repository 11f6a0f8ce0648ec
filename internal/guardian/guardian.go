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

	"stap-exporter/internal/cleanup"
	"stap-exporter/internal/proc"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

const (
	idleWait = 3 * time.Second  // how long Close waits for a guardian that has nothing to do
	endWait  = 20 * time.Second // how long for one that still has to clean up
	// before a guardian that lived for less than guardHealthy is replaced,
	// doubled each time; others are replaced at once
	firstPause = 50 * time.Millisecond
	// no longer: if this process is killed meanwhile, everything stays
	lastPause  = 2 * time.Second
	healthyAge = time.Second
)

// Guardian is the exporter's end of the pipe to its guardian process (see
// Guard),
// which it replaces when it ends.
//
// The guardian reads its Cleaner from the pipe, which is written before it
// starts, and then waits for the end of the pipe: nothing else is ever written.
// What it has to clean up it finds itself, as the next start would.
//
// The methods may be called on nil, for a Host without guardian, and from any
// goroutine.
type Guardian struct {
	argv    []string
	cleaner cleanup.Cleaner
	lock    *os.File // held by this process and by each guardian, see lockGuardian
	log     *zap.Logger

	closing context.Context // done when close was called
	cancel  context.CancelFunc
	done    chan struct{}

	mu   sync.Mutex
	cmd  *proc.Session // the living guardian, nil while there is none
	pipe *os.File      // to it
}

// Start starts a guardian with the command line argv, and the goroutine
// that replaces it when it ends. A start that fails is logged and tried again.
// The guardian cleans up with cleaner. lock is what lockGuardian returned;
// close closes it. The descriptors that this process was started with are
// closed in children from now on.
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
	cmd, err := g.spawn()
	go g.keep(cmd, err)
	return g, nil
}

// keep is the goroutine that owns the guardian: it waits for its end and starts
// the next.
func (g *Guardian) keep(cmd *proc.Session, err error) {
	defer close(g.done)
	hold := time.Duration(0)
	for {
		begun := time.Now()
		if err == nil {
			g.log.Debug("guardian started", zap.Int("os_pid", cmd.PID()))
			err = cmd.Wait()
			g.lost(cmd)
			if err == nil {
				err = errors.New("exit code 0")
			}
		}
		if g.closing.Err() != nil {
			return
		}
		young := time.Since(begun) < healthyAge
		if !young {
			hold = 0
		}
		if hold == 0 {
			g.log.Warn("guardian ended, starting another", zap.Error(err))
		} else {
			g.log.Debug("guardian ended again", zap.Error(err), zap.Duration("hold", hold))
		}
		if young {
			hold = min(max(2*hold, firstPause), lastPause)
		}
		select {
		case <-g.closing.Done():
			return
		case <-time.After(hold):
		}
		cmd, err = g.spawn()
	}
}

// spawn starts a guardian. What it needs is in the pipe before it starts, so
// that it knows it however soon this process dies.
func (g *Guardian) spawn() (*proc.Session, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	defer func() { _ = r.Close() }()
	if err := gob.NewEncoder(w).Encode(g.cleaner); err != nil {
		// a few hundred bytes: the pipe has room
		_ = w.Close()
		return nil, fmt.Errorf("write to pipe: %w", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing.Err() != nil {
		_ = w.Close()
		return nil, errors.New("closing")
	}
	cmd, err := proc.StartSession(g.argv, r, g.lock) // the lock is guardLockFD there
	if err != nil {
		_ = w.Close()
		return nil, fmt.Errorf("start guardian: %w", err)
	}
	g.cmd, g.pipe = cmd, w
	return cmd, nil
}

// lost closes the pipe to a guardian that has ended.
func (g *Guardian) lost(cmd *proc.Session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cmd == cmd && g.pipe != nil {
		_ = g.pipe.Close()
		g.cmd, g.pipe = nil, nil
	}
}

// Close lets the guardian end, which it does soon when no run is left, and
// waits for it: one that does not end then is killed. It cleans up after runs
// that are left as if this process had died.
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
	cmd := g.cmd
	if g.pipe != nil {
		cmd.Signal(syscall.SIGCONT) // somebody may have stopped it
		_ = g.pipe.Close()
		g.pipe = nil
	}
	g.mu.Unlock()
	select {
	case <-g.done:
	case <-time.After(wait):
		if wait == idleWait && cmd != nil {
			g.log.Warn("guardian does not end, killing it", zap.Int("os_pid", cmd.PID()))
			cmd.Signal(syscall.SIGKILL)
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

// closeOnExec keeps the descriptors that this process was started with away
// from its children. Those that Go opens are so anyway.
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
