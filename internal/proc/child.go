package proc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// drainGrace is how long the output may take to end after the group has ended.
// Only a process that has left the group can still hold the pipe then, and
// Child.End does not wait for it.
const drainGrace = 250 * time.Millisecond

// Child is a process that this process has started, and the process group that
// it leads. Until End reaps it the child is at most a zombie. So its id, which
// is its group's, belongs to no other process, and a signal to the group
// reaches no other.
type Child struct {
	PID int

	cmd     *exec.Cmd
	pipe    *os.File      // the read end of its stdout and stderr
	ended   chan struct{} // closed when the leader has ended; it is not reaped yet
	drained chan struct{} // closed when its output was read to the end
	reaped  bool          // by End
}

// Start starts argv in dir, with /dev/null as its standard input. What it and
// its descendants write to stdout and stderr is read to the end and goes to
// out, from a goroutine of the child. argv[0] must be a path. The caller must
// call End.
func Start(argv, env []string, dir string, out io.Writer) (*Child, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = dir, env
	cmd.Stdout, cmd.Stderr = w, w
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = children.start(cmd)
	_ = w.Close()
	if err != nil {
		_ = r.Close()
		return nil, fmt.Errorf("start %s: %w", filepath.Base(argv[0]), err)
	}
	c := &Child{
		PID:     cmd.Process.Pid,
		cmd:     cmd,
		pipe:    r,
		ended:   make(chan struct{}),
		drained: make(chan struct{}),
	}
	go func() {
		defer close(c.drained)
		drain(out, r)
	}()
	await := awaitEnd
	go func() {
		defer close(c.ended)
		await(c.PID)
	}()
	return c, nil
}

// drain reads r to its end, or until it is closed.
func drain(out io.Writer, r io.Reader) {
	buf := make([]byte, 16<<10)
	for {
		n, err := r.Read(buf)
		_, _ = out.Write(buf[:n])
		if err != nil {
			return
		}
	}
}

// awaitEnd returns when a child of this process has ended; it is not reaped. A
// test replaces it to simulate a process that hangs in the kernel, which even
// KILL does not end.
var awaitEnd = func(pid int) {
	for errors.Is(unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
	}
}

// Ended is closed when the child has ended. Others of its group may still live.
func (c *Child) Ended() <-chan struct{} { return c.ended }

func (c *Child) hasEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// signal sends sig to the whole group. It must not be called after End.
func (c *Child) signal(sig syscall.Signal) {
	// ESRCH is impossible: the leader is not reaped. EPERM shows as a process
	// that does not end.
	_ = syscall.Kill(-c.PID, sig)
}

// End ends the group (TERM, at most grace, KILL, at most killGrace; KILL at
// once when kill is closed), reaps the child and closes its output. A group
// that has ended already gets no TERM. It returns the names of the processes
// that do not end.
func (c *Child) End(kill <-chan struct{}, grace, killGrace time.Duration) (residue []string) {
	if !c.gone() {
		select {
		case <-kill:
		default:
			c.signal(syscall.SIGTERM)
			c.await(grace, kill)
		}
	}
	// Also when the group seems to have ended: a process that was born during
	// the scan of /proc gets this.
	c.signal(syscall.SIGKILL)
	if !c.await(killGrace, nil) {
		residue = Names(c.Members())
	}
	if !c.hasEnded() {
		// It hangs in the kernel, even KILL does not end it. It is reaped when
		// it ends at last.
		go func() {
			<-c.ended
			c.reap()
			_ = c.pipe.Close()
		}()
		return append(residue, Process{PID: c.PID, Name: filepath.Base(c.cmd.Path)}.String())
	}
	c.reap()
	c.reaped = true
	select {
	case <-c.drained:
	case <-time.After(drainGrace):
	}
	_ = c.pipe.Close()
	<-c.drained
	return residue
}

// reap waits for the leader, which has ended. How it ended is in
// cmd.ProcessState.
func (c *Child) reap() { _ = children.wait(c.cmd) }

// Status returns how the child ended, after End: its exit code, or -1 and the
// signal that ended it, or -1 and 0 when it does not end.
func (c *Child) Status() (code int, signal syscall.Signal) {
	if !c.reaped {
		return -1, 0
	}
	if status, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return -1, status.Signal()
	}
	return c.cmd.ProcessState.ExitCode(), 0
}

// await waits until the group has ended, at most d and only until cut is
// closed, and reports whether it has.
func (c *Child) await(d time.Duration, cut <-chan struct{}) bool {
	timeout := time.NewTimer(d)
	defer timeout.Stop()
	ended := c.ended
	for p := NewPauses(5*time.Millisecond, 100*time.Millisecond); ; {
		if c.gone() {
			return true
		}
		if c.hasEnded() {
			ended = nil // others of the group have not: check again now and then
		}
		select {
		case <-ended:
		case <-time.After(p.Next()):
		case <-cut:
			return c.gone()
		case <-timeout.C:
			return c.gone()
		}
	}
}

// gone reports whether the leader has ended and nothing of its group is left.
func (c *Child) gone() bool { return c.hasEnded() && len(c.Members()) == 0 }

// Members are the living processes of the group without the leader. Zombies do
// not count: their parent may never reap them.
func (c *Child) Members() (found []Process) {
	for _, p := range All() {
		if p.Group == c.PID && p.PID != c.PID {
			found = append(found, p)
		}
	}
	return found
}
