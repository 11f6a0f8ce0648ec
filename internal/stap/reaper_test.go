package stap

import (
	"os/exec"
	"sync"
	"testing"
)

// Orphans of children come here and are reaped, and not one process is reaped
// that somebody waits for.
func TestReaper(t *testing.T) {
	l := newLab(
		t,
		"stapbpf-leaves-escapee stapbpf-leaves-grandchild stapbpf-fails",
		func(c *Config) { c.Subreaper = true },
	)
	stop := make(chan struct{})
	var waiters sync.WaitGroup
	for range 3 {
		waiters.Go(func() {
			for !isClosed(stop) {
				cmd := exec.Command("/bin/sh", "-c", "exit 7")
				cmd.Env = []string{} // none of the lab's processes
				if own.start(cmd) == nil {
					_ = own.wait(cmd)
				}
				if code := cmd.ProcessState.ExitCode(); code != 7 { // a nil state gives -1
					t.Errorf("exit code %d: somebody else has reaped it", code)
				}
			}
		})
	}
	for _, module := range []string{"m1", "m2", "m3"} {
		if e := l.start(l.script(module)).exited(); e.Code != 1 || len(e.Residue) > 0 {
			t.Errorf("exit is %s", e.Reason())
		}
		l.clean(module) // also the one that has left the group
	}
	close(stop)
	waiters.Wait()
	waitFor(t, "no zombie is left", func() bool { return len(endedChildren()) == 0 })
	if n := len(own.waited); n != 0 {
		t.Errorf("%d processes are still waited for", n)
	}
}

func TestReaperLeavesAloneWhoIsWaitedFor(t *testing.T) {
	cmd := exec.Command("/bin/sh", "-c", "exit 7")
	if err := own.start(cmd); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "it has ended", func() bool { return len(endedChildren()) > 0 })
	if own.reap() {
		t.Error("something is being started")
	}
	_ = own.wait(cmd)
	if code := cmd.ProcessState.ExitCode(); code != 7 {
		t.Errorf("exit code %d", code)
	}

	// One that nobody waits for, but somebody may be just about to: it is there
	// before its starter has said so.
	cmd = exec.Command("/bin/true")
	own.starting.RLock()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "it has ended", func() bool { return len(endedChildren()) > 0 })
	if !own.reap() || len(endedChildren()) != 1 {
		t.Error("it was reaped")
	}
	own.starting.RUnlock()
	if own.reap() || len(endedChildren()) != 0 {
		t.Error("it was not reaped")
	}
	_ = cmd.Process.Release()
}
