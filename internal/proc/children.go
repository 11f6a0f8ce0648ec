package proc

import (
	"os"
	"os/exec"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// children are the children of this process that this package has started and
// not yet reaped. There is one list for the process, as it has one set of
// children.
var children = registry{waited: map[int]int{}}

// registry keeps the Reaper away from processes that have a waiter. Every
// process of this package is started with start and reaped with wait, instead
// of the methods of exec.Cmd.
type registry struct {
	starting sync.RWMutex // read-locked from before a fork until the child is in waited
	mu       sync.Mutex
	// by process id; a count, because an id can come back after its child was
	// reaped and before it was taken off the list
	waited map[int]int
}

// startCommand is cmd.Start. A test replaces it to simulate a machine without
// memory.
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

// reap reaps the children of this process that have ended and have no waiter.
// It reports whether it must be called again, because a process was just being
// started.
func (r *registry) reap() (again bool) {
	info := unix.Siginfo{}
	err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	if err != nil || info.Signo == 0 {
		return false // no child has ended: the usual case, and a cheap check
	}
	if !r.starting.TryLock() { // waiting for it would delay the next start
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
