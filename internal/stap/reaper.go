package stap

import (
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// own is the list of this process's children that this package started and has
// not yet reaped. It is one for the process, as the children are.
var own = registry{waited: map[int]int{}}

// registry keeps the reaper of orphans away from processes that somebody waits
// for. All of this package's processes are started with start and reaped with
// wait, instead of the methods of exec.Cmd.
type registry struct {
	starting sync.RWMutex // read-locked from before a fork until the child is in waited
	mu       sync.Mutex
	// by process id; a count, because an id can come back between the reaping
	// and the taking off the list
	waited map[int]int
}

// startCommand is cmd.Start; a test stands in for a machine that has no memory
// left.
var startCommand = (*exec.Cmd).Start

// start is cmd.Start.
func (r *registry) start(cmd *exec.Cmd) error {
	r.starting.RLock()
	defer r.starting.RUnlock()
	if err := startCommand(cmd); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waited[cmd.Process.Pid]++
	return nil
}

// wait is cmd.Wait, for a command started with start.
func (r *registry) wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	pid := cmd.Process.Pid
	if r.waited[pid]--; r.waited[pid] == 0 {
		delete(r.waited, pid)
	}
	return err
}

func (r *registry) has(pid int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.waited[pid] > 0
}

// reap reaps the children of this process that have ended and that nobody waits
// for. It tells whether it has to be called again, because a process was just
// being started.
func (r *registry) reap() (again bool) {
	info := unix.Siginfo{}
	err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	if err != nil || info.Signo == 0 {
		return false // no child has ended: most often so, and cheap to see
	}
	if !r.starting.TryLock() { // waiting for it would hold up the next start
		return true
	}
	defer r.starting.Unlock()
	for _, pid := range endedChildren() {
		if !r.has(pid) {
			_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
		}
	}
	return false
}

// endedChildren are the zombies whose parent this process is.
func endedChildren() (pids []int) {
	self := os.Getpid()
	buf := make([]byte, statBuffer)
	for _, pid := range processIDs() {
		if st, err := readStat(pid, buf); err == nil && string(st.field(3)) == "Z" && st.number(4) == uint64(self) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// reaper adopts what the children leave behind and reaps it.
type reaper struct {
	signals chan os.Signal
	stop    chan struct{}
	done    chan struct{}
}

// reapPause is the least time between two looks at all processes.
const reapPause = 50 * time.Millisecond

// startReaper makes this process the one that orphaned descendants come to (as
// they do to process 1 anyway, which in a container this may be), and reaps
// them in the background until close.
func startReaper() (*reaper, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, err
	}
	r := &reaper{signals: make(chan os.Signal, 1), stop: make(chan struct{}), done: make(chan struct{})}
	signal.Notify(r.signals, syscall.SIGCHLD)
	go r.loop()
	return r, nil
}

func (r *reaper) loop() {
	defer close(r.done)
	var later <-chan time.Time
	for {
		select {
		case <-r.stop:
			return
		case <-r.signals:
			if later == nil {
				// often the signal is for one that its waiter reaps at once
				later = time.After(reapPause)
			}
		case <-later:
			later = nil
			if own.reap() {
				later = time.After(reapPause)
			}
		}
	}
}

// close may be called on nil.
func (r *reaper) close() {
	if r == nil {
		return
	}
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	signal.Stop(r.signals)
	close(r.stop)
	<-r.done
}
