package stap

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

const (
	// how long a start waits for the guardian of a dead exporter; its work is
	// bounded by less
	guardLockWait = 30 * time.Second
	guardTellWait = 5 * time.Second // a guardian that does not read for so long is replaced
	// how long Close waits for a guardian that still has to clean up
	guardEndWait  = 20 * time.Second
	guardIdleWait = 3 * time.Second // how long it waits for one that has nothing to do
	// before a guardian that did not live guardHealthy is replaced, doubled
	// each time; others are at once
	guardFirstHold = 50 * time.Millisecond
	// no longer: who kills this process meanwhile leaves everything behind
	guardLastHold = 2 * time.Second
	guardHealthy  = time.Second
)

// guard is the exporter's end of the pipe to its guardian (see Guard). It tells
// it of every run, and replaces it when it ends.
//
// The methods may be called on nil, for a Host without guardian, and from any
// goroutine. They do not wait for the guardian to read: what is in the pipe is
// read before its end is seen.
type guard struct {
	argv  []string
	setup string   // the first line of each guardian
	lock  *os.File // held by this process and by each guardian, see lockGuardian
	log   *zap.Logger

	closing  chan struct{}
	done     chan struct{}
	tellWait time.Duration // guardTellWait, shorter in a test

	mu   sync.Mutex
	runs map[string]*guarded // by module
	cmd  *exec.Cmd           // the living guardian, nil while there is none
	pipe *os.File            // to it
}

// guarded is what a guardian has to know of a run. Both ends of the pipe keep
// it.
type guarded struct {
	work   string
	groups map[int]bool // true while the group is ours
}

// lockGuardian takes Dir for this process and its guardians by an flock(2),
// which is held until the last of them has ended. Who has it although the
// exporter's instance is free is the guardian of an earlier exporter that was
// killed, and is removing what that left: this exporter's scripts have the same
// names, so it waits.
func lockGuardian(dir string, wait time.Duration, log *zap.Logger) (*os.File, error) {
	path := filepath.Join(dir, "guardian.lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open guardian's lock: %w", err)
	}
	limit := time.Now().Add(wait)
	for p, said := newPauses(20*time.Millisecond, 200*time.Millisecond), false; ; time.Sleep(p.next()) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if time.Now().After(limit) {
			_ = f.Close()
			return nil, fmt.Errorf(
				"lock %s: the guardian of an earlier exporter (process %s) has been cleaning up for more than %v: try again, or end it",
				path,
				readPID(path),
				wait,
			)
		}
		if !said {
			log.Info("waiting for the guardian of an earlier exporter to clean up", zap.String("os_pid", readPID(path)))
			said = true
		}
	}
}

func readPID(path string) string {
	text, _ := os.ReadFile(path)
	return strings.TrimSpace(string(text))
}

// protect sees to it that nothing is left behind: by an earlier exporter of
// this Dir, by this one, by its children.
func (h *Host) protect() error {
	if h.cfg.Subreaper {
		r, err := startReaper()
		if err != nil {
			return fmt.Errorf("adopt orphans: %w", err)
		}
		h.reaper = r
	}
	if len(h.cfg.Guardian) == 0 {
		h.sweepEarlier()
		return nil
	}
	lock, err := lockGuardian(h.cfg.Dir, guardLockWait, h.cfg.Logger)
	if err == nil {
		h.sweepEarlier()
		err = closeOnExec()
	}
	if err != nil {
		h.reaper.close()
		return err
	}
	h.guard = startGuard(h.cfg.Guardian, h, lock)
	return nil
}

// startGuard starts the guardian and what keeps one alive. That the first start
// fails is logged and tried again, like the later ones.
func startGuard(argv []string, h *Host, lock *os.File) *guard {
	g := &guard{
		argv:     argv,
		lock:     lock,
		log:      h.cfg.Logger,
		setup:    lineSetup(h),
		runs:     map[string]*guarded{},
		closing:  make(chan struct{}),
		done:     make(chan struct{}),
		tellWait: guardTellWait,
	}
	cmd, err := g.spawn()
	go g.keep(cmd, err)
	return g
}

// keep is the goroutine that owns the guardian: it waits for its end and starts
// the next.
func (g *guard) keep(cmd *exec.Cmd, err error) {
	defer close(g.done)
	hold := time.Duration(0)
	for {
		begun := time.Now()
		if err == nil {
			g.log.Debug("guardian started", zap.Int("os_pid", cmd.Process.Pid))
			err = own.wait(cmd)
			g.lost(cmd)
			if err == nil {
				err = errors.New("exit code 0")
			}
		}
		if isClosed(g.closing) {
			return
		}
		young := time.Since(begun) < guardHealthy
		if !young {
			hold = 0
		}
		if hold == 0 {
			g.log.Warn("guardian ended, starting another", zap.Error(err))
		} else {
			g.log.Debug("guardian ended again", zap.Error(err), zap.Duration("hold", hold))
		}
		if young {
			hold = min(max(2*hold, guardFirstHold), guardLastHold)
		}
		select {
		case <-g.closing:
			return
		case <-time.After(hold):
		}
		cmd, err = g.spawn()
	}
}

// spawn starts a guardian and tells it everything.
func (g *guard) spawn() (*exec.Cmd, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	defer func() { _ = r.Close() }()
	cmd := exec.Command(g.argv[0], g.argv[1:]...)
	// this very program, also after an upgrade has put another in its place
	cmd.Path = "/proc/self/exe"
	cmd.Err = nil
	cmd.Dir, cmd.Env = "/", unmarked(os.Environ())
	cmd.Stdin, cmd.Stderr = r, os.Stderr
	cmd.ExtraFiles = []*os.File{g.lock} // guardLockFD there
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}

	g.mu.Lock()
	defer g.mu.Unlock()
	if isClosed(g.closing) {
		_ = w.Close()
		return nil, errors.New("closing")
	}
	all := g.all()
	// What fits is in the pipe before the guardian is there, so that it knows
	// everything however soon this process dies.
	fits := len(all) <= pipeRoom(w, len(all))
	if fits {
		if _, err := io.WriteString(w, all); err != nil {
			_ = w.Close()
			return nil, fmt.Errorf("write to pipe: %w", err)
		}
	}
	if err := own.start(cmd); err != nil {
		_ = w.Close()
		return nil, fmt.Errorf("start guardian: %w", err)
	}
	g.cmd, g.pipe = cmd, w
	if !fits {
		g.tell(all)
	}
	return cmd, nil
}

// pipeRoom makes room for so many bytes in an empty pipe, if it may, and
// returns how much there is.
func pipeRoom(pipe *os.File, want int) (room int) {
	conn, err := pipe.SyscallConn()
	if err != nil {
		return 0
	}
	_ = conn.Control(func(fd uintptr) {
		_, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, max(want, 1<<16)) // the usual size
		room, _ = unix.FcntlInt(fd, unix.F_GETPIPE_SZ, 0)
	})
	return room
}

// all is what a new guardian is told. The caller holds mu.
func (g *guard) all() string {
	var all strings.Builder
	all.WriteString(g.setup)
	for _, module := range slices.Sorted(maps.Keys(g.runs)) {
		run := g.runs[module]
		all.WriteString(lineRun(module, run.work))
		for _, pid := range slices.Sorted(maps.Keys(run.groups)) {
			all.WriteString(lineGroup(module, pid, run.groups[pid]))
		}
	}
	return all.String()
}

// The lines of the pipe. Strings are quoted, because paths may hold anything.
func lineSetup(h *Host) string {
	cache := ""
	if h.cache != nil {
		cache = h.cache.dir
	}
	return fmt.Sprintf(
		"setup %q %q %q %q %q %q\n",
		h.tools.staprun,
		h.cfg.Modules,
		h.cfg.Roots.FIFO,
		h.system.tracing,
		h.cfg.Dir,
		cache,
	)
}

func lineRun(module, work string) string { return fmt.Sprintf("run %q %q\n", module, work) }

func lineGroup(module string, pid int, ours bool) string {
	return fmt.Sprintf("group %q %d %t\n", module, pid, ours)
}

func lineEnd(module string) string { return fmt.Sprintf("end %q\n", module) }

// begin tells of a run before its first process is started.
func (g *guard) begin(module, work string) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.runs[module] = &guarded{work: work, groups: map[int]bool{}}
	g.tell(lineRun(module, work))
}

// group tells of a process group of the run: ours says that it is there, !ours
// that its leader is about to be reaped and the id must not be signalled any
// more.
func (g *guard) group(module string, pid int, ours bool) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if run := g.runs[module]; run != nil { // nil: the run has ended, with a process that did not
		run.groups[pid] = ours
		g.tell(lineGroup(module, pid, ours))
	}
}

// end tells that nothing is left of the run.
func (g *guard) end(module string) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.runs, module)
	g.tell(lineEnd(module))
}

// tell writes to the guardian, if there is one; its successor is told
// everything. The caller holds mu.
func (g *guard) tell(lines string) {
	if g.pipe == nil {
		return
	}
	_ = g.pipe.SetWriteDeadline(time.Now().Add(g.tellWait))
	if _, err := io.WriteString(g.pipe, lines); err != nil {
		// It has ended, or is stuck. A stuck one must not wake up to a closed
		// pipe, and think that the exporter died: KILL first.
		_ = g.cmd.Process.Kill()
		_ = g.pipe.Close()
		g.cmd, g.pipe = nil, nil
	}
}

// lost closes the pipe to a guardian that has ended.
func (g *guard) lost(cmd *exec.Cmd) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cmd == cmd && g.pipe != nil {
		_ = g.pipe.Close()
		g.cmd, g.pipe = nil, nil
	}
}

// close lets the guardian end, which it does at once when no run is left, and
// waits for it: one that does not end then is killed. Of runs that are left it
// takes care as if this process had died.
func (g *guard) close() {
	if g == nil {
		return
	}
	g.mu.Lock()
	close(g.closing)
	cmd, wait := g.cmd, guardIdleWait
	if len(g.runs) > 0 {
		wait = guardEndWait
	}
	if g.pipe != nil {
		_ = cmd.Process.Signal(syscall.SIGCONT) // somebody may have stopped it
		_ = g.pipe.Close()
		g.pipe = nil
	}
	g.mu.Unlock()
	select {
	case <-g.done:
	case <-time.After(wait):
		if wait == guardIdleWait && cmd != nil {
			g.log.Warn("guardian does not end, killing it", zap.Int("os_pid", cmd.Process.Pid))
			_ = cmd.Process.Kill()
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
