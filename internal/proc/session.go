package proc

import (
	"os"
	"os/exec"
	"syscall"
)

// Session is another process of this program, in a session of its own.
type Session struct{ cmd *exec.Cmd }

// StartSession starts this program again, with the arguments argv[1:]. It gets
// the standard error of this process, stdin, extra from descriptor 3 on, the
// working directory / and this process's environment without a run tag. It is
// this very program, also after an upgrade has replaced the file. Wait must be
// called once.
func StartSession(argv []string, stdin *os.File, extra ...*os.File) (*Session, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Path, cmd.Err = "/proc/self/exe", nil
	cmd.Dir, cmd.Env = "/", WithoutTag(os.Environ())
	cmd.Stdin, cmd.Stderr = stdin, os.Stderr
	cmd.ExtraFiles = extra
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := children.start(cmd); err != nil {
		return nil, err
	}
	return &Session{cmd}, nil
}

// PID returns the process id.
func (s *Session) PID() int { return s.cmd.Process.Pid }

// Wait waits for the end of the process and reaps it. The error is nil when its
// exit code is 0.
func (s *Session) Wait() error { return children.wait(s.cmd) }

// Signal sends a signal to the process, from any goroutine. It does nothing
// when the process was reaped.
func (s *Session) Signal(sig syscall.Signal) { _ = s.cmd.Process.Signal(sig) }
