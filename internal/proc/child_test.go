package proc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"stap-exporter/internal/staptest"
)

// hangInKernel makes no process seem to end until the test does: a process in
// state D, which not even KILL ends, cannot be made here.
func hangInKernel(t *testing.T) (release func()) {
	t.Helper()
	truly, released := awaitEnd, make(chan struct{})
	awaitEnd = func(pid int) {
		<-released
		truly(pid)
	}
	release = sync.OnceFunc(func() { close(released) })
	t.Cleanup(func() {
		release()
		awaitEnd = truly
	})
	return release
}

func startShell(t *testing.T, text string, out io.Writer) *Child {
	t.Helper()
	c, err := Start([]string{"/bin/sh", "-c", text}, os.Environ(), t.TempDir(), out)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestChildIsReadToTheEnd(t *testing.T) {
	var out bytes.Buffer
	c := startShell(t, "echo out; echo err >&2; pwd; exit 3", &out)
	<-c.Ended()
	residue := c.End(nil, staptest.Patience, staptest.Patience)
	code, signal := c.Status()
	if len(residue) > 0 || code != 3 || signal != 0 {
		t.Errorf("residue %q, exit code %d, signal %v", residue, code, signal)
	}
	if text := out.String(); !strings.HasPrefix(text, "out\nerr\n/") {
		t.Errorf("it wrote %q", text)
	}
	if children.has(c.PID) {
		t.Error("it was not reaped")
	}
}

func TestChildThatIgnoresTERMIsKilled(t *testing.T) {
	for _, at := range []string{"after the grace", "at once"} {
		t.Run(at, func(t *testing.T) {
			c := startShell(t, "trap '' TERM; sleep 1000 & while :; do sleep 1000; done", io.Discard)
			staptest.WaitFor(t, "it has a child", func() bool { return len(c.Members()) >= 1 })
			kill, grace := make(chan struct{}), 50*time.Millisecond
			if at == "at once" {
				grace = staptest.Patience
				close(kill)
			}
			if residue := c.End(kill, grace, staptest.Patience); len(residue) > 0 {
				t.Errorf("residue: %q", residue)
			}
			if code, signal := c.Status(); code != -1 || signal != syscall.SIGKILL {
				t.Errorf("exit code %d, signal %v", code, signal)
			}
		})
	}
}

// A process that even KILL does not end is abandoned after the bounds, and
// named. It is reaped when it ends at last.
func TestChildThatDoesNotEndIsNamed(t *testing.T) {
	release := hangInKernel(t)
	c := startShell(t, "exec sleep 1000", io.Discard)
	residue := c.End(nil, 50*time.Millisecond, 50*time.Millisecond)
	if code, signal := c.Status(); len(residue) == 0 || !strings.HasPrefix(residue[0], "process ") || code != -1 ||
		signal != 0 {
		t.Errorf("residue %q, exit code %d, signal %v", residue, code, signal)
	}
	if !children.has(c.PID) {
		t.Error("it has no waiter")
	}
	release()
	staptest.WaitFor(t, "it is reaped", func() bool { return !children.has(c.PID) })
	<-c.drained
}

func TestChildThatCannotBeStarted(t *testing.T) {
	if _, err := Start([]string{"/nowhere/x"}, nil, "/", io.Discard); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
	startCommand = func(*exec.Cmd) error {
		return &os.PathError{Op: "fork/exec", Path: "/usr/bin/stap", Err: syscall.EAGAIN}
	}
	defer func() { startCommand = (*exec.Cmd).Start }()
	if _, err := Start([]string{"/usr/bin/stap"}, nil, "/", io.Discard); !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("without memory the error is %v", err)
	}
}

// A command that hangs is killed. One that hangs in the kernel is abandoned.
func TestCommandThatHangs(t *testing.T) {
	hangs := []string{"/bin/sh", "-c", "trap '' TERM; echo begun; sleep 1000"}
	env := WithTag(os.Environ(), "/w/command")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := Output(ctx, env, hangs...); err == nil {
		t.Error("no error")
	}
	release := hangInKernel(t)
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := Output(ctx, env, hangs...); err == nil || !strings.Contains(err.Error(), "does not end") {
		t.Errorf("error is %v", err)
	}
	release()
	staptest.WaitFor(t, "it is reaped", func() bool {
		children.mu.Lock()
		defer children.mu.Unlock()
		return len(children.waited) == 0
	})
	if found := Tagged("/w/command").Find(); len(found) > 0 {
		t.Errorf("processes are left: %v", found)
	}
}

func TestOutput(t *testing.T) {
	out, err := Output(t.Context(), []string{"A=b"}, "/bin/sh", "-c", "echo $A; echo err >&2; exit 1")
	if err == nil || out != "b\nerr\n" {
		t.Errorf("output %q, error %v", out, err)
	}
}
