package stap

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// drainGrace is how long the output may take to end after the group is gone.
// Only a process that has left the group can still hold the pipe then, and we
// do not wait for that.
const drainGrace = 250 * time.Millisecond

// child is one process of ours and the process group that it leads.
// Its pid stays a zombie's, and so the group's id ours, until end reaps it.
type child struct {
	cmd     *exec.Cmd
	pid     int
	out     *output
	pipe    *os.File      // the read end of its stdout and stderr
	ended   chan struct{} // closed when the leader has ended; it is not reaped yet
	drained chan struct{} // closed when its output is read to the end
}

// startChild starts argv in dir with stdin from /dev/null. Lines of its output
// go to log, which may be nil. The caller must call end.
func startChild(argv, env []string, dir string, log *lineLog) (*child, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = dir, env
	cmd.Stdout, cmd.Stderr = w, w
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = own.start(cmd)
	_ = w.Close()
	if err != nil {
		_ = r.Close()
		return nil, fmt.Errorf("start %s: %w", filepath.Base(argv[0]), err)
	}
	c := &child{
		cmd:     cmd,
		pid:     cmd.Process.Pid,
		out:     newOutput(),
		pipe:    r,
		ended:   make(chan struct{}),
		drained: make(chan struct{}),
	}
	c.out.log = log
	go func() {
		defer close(c.drained)
		c.out.drain(r)
	}()
	await := awaitEnd
	go func() {
		defer close(c.ended)
		await(c.pid)
	}()
	return c, nil
}

// awaitEnd returns when a child of this process has ended; it is not reaped. A
// test stands in for a process that even KILL does not end, since it hangs in
// the kernel.
var awaitEnd = func(pid int) {
	for errors.Is(unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
	}
}

// signal sends sig to the whole group. It must not be called after end.
func (c *child) signal(sig syscall.Signal) {
	// ESRCH cannot be: the leader is not reaped; EPERM shows as a process that
	// does not end
	_ = syscall.Kill(-c.pid, sig)
}

// end ends the group (TERM, at most grace, KILL, at most killGrace; KILL at
// once when kill is closed), reaps the leader and lets go of its output. A
// group that has ended already gets no TERM. It returns the names of processes
// that do not end.
func (c *child) end(grace, killGrace time.Duration, kill <-chan struct{}) (left []string) {
	if !c.gone() && !isClosed(kill) {
		c.signal(syscall.SIGTERM)
		c.await(grace, kill)
	}
	// Also when the group looks gone: a process that was born while /proc was
	// being read is caught by this.
	c.signal(syscall.SIGKILL)
	if !c.await(killGrace, nil) {
		for _, m := range c.members() {
			left = append(left, m.String())
		}
	}
	if !isClosed(c.ended) {
		// Not even KILL ends it, so it hangs in the kernel. Let it be reaped
		// whenever that ends.
		go func() {
			<-c.ended
			c.reap()
			_ = c.pipe.Close()
		}()
		return append(left, member{pid: c.pid, name: filepath.Base(c.cmd.Path)}.String())
	}
	c.reap()
	select {
	case <-c.drained:
	case <-time.After(drainGrace):
	}
	_ = c.pipe.Close()
	<-c.drained
	return left
}

// reap waits for the leader, which has ended. How it ended is in
// cmd.ProcessState.
func (c *child) reap() {
	_ = own.wait(c.cmd)
}

// await waits until the group is gone, at most d and only until cut is closed,
// and tells whether it is.
func (c *child) await(d time.Duration, cut <-chan struct{}) bool {
	timeout := time.NewTimer(d)
	defer timeout.Stop()
	ended := c.ended
	for p := newPauses(5*time.Millisecond, 100*time.Millisecond); ; {
		if c.gone() {
			return true
		}
		if isClosed(ended) {
			// the leader has ended, others of the group have not: look again
			// now and then
			ended = nil
		}
		select {
		case <-ended:
		case <-time.After(p.next()):
		case <-cut:
			return c.gone()
		case <-timeout.C:
			return c.gone()
		}
	}
}

// gone tells whether the leader has ended and nobody else of its group is left.
func (c *child) gone() bool {
	return isClosed(c.ended) && len(c.members()) == 0
}

// member is a process of a child's group.
type member struct {
	pid  int
	name string
}

func (m member) String() string { return fmt.Sprintf("process %d (%s)", m.pid, m.name) }

// members are the processes of the group, without the leader and without those
// that have ended (zombies wait for a parent that may never look).
func (c *child) members() (found []process) {
	for _, p := range processes() {
		if p.group == c.pid && p.pid != c.pid {
			found = append(found, p)
		}
	}
	return found
}

// pauses are growing waits between looks at something.
type pauses struct{ now, longest time.Duration }

func newPauses(first, longest time.Duration) *pauses { return &pauses{first, longest} }

func (p *pauses) next() time.Duration {
	d := p.now
	p.now = min(p.now*3/2, p.longest)
	return d
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
