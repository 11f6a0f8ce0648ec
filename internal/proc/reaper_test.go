package proc

import (
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"

	"stap-exporter/internal/staptest"
)

// Orphans of children come to this process and are reaped, and no process that
// has a waiter is.
func TestReaper(t *testing.T) {
	r, err := StartReaper()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	stop := make(chan struct{})
	var waiters sync.WaitGroup
	for range 3 {
		waiters.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				cmd := exec.Command("/bin/sh", "-c", "exit 7")
				if children.start(cmd) == nil {
					_ = children.wait(cmd)
				}
				if code := cmd.ProcessState.ExitCode(); code != 7 { // a nil state gives -1
					t.Errorf("exit code %d: the reaper has taken it", code)
				}
			}
		})
	}
	for _, tag := range []string{"/w/1", "/w/2", "/w/3"} {
		// one orphan stays in the group, the other leaves it
		leaves := []string{"/bin/sh", "-c", "sleep 1000 & setsid sleep 1000 & exit 1"}
		c, err := Start(leaves, WithTag(os.Environ(), tag), "/", io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		<-c.Ended()
		if residue := c.End(nil, staptest.Patience, staptest.Patience); len(residue) > 0 {
			t.Errorf("residue: %q", residue)
		}
		if code, _ := c.Status(); code != 1 {
			t.Errorf("exit code %d", code)
		}
		if _, remaining := Tagged(tag).End(nil, 0, staptest.Patience); len(remaining) > 0 {
			t.Errorf("remaining: %v", remaining)
		}
	}
	close(stop)
	waiters.Wait()
	staptest.WaitFor(t, "no zombie is left", func() bool { return len(endedChildren()) == 0 })
	if n := len(children.waited); n != 0 {
		t.Errorf("%d processes still have a waiter", n)
	}
}

func TestReaperTakesNoProcessWithAWaiter(t *testing.T) {
	cmd := exec.Command("/bin/sh", "-c", "exit 7")
	if err := children.start(cmd); err != nil {
		t.Fatal(err)
	}
	staptest.WaitFor(t, "it has ended", func() bool { return len(endedChildren()) > 0 })
	if children.reap() {
		t.Error("a process is being started")
	}
	_ = children.wait(cmd)
	if code := cmd.ProcessState.ExitCode(); code != 7 {
		t.Errorf("exit code %d", code)
	}

	// This one has no waiter, but may be about to get one: it exists before
	// start has returned.
	cmd = exec.Command("/bin/true")
	children.starting.RLock()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	staptest.WaitFor(t, "it has ended", func() bool { return len(endedChildren()) > 0 })
	if !children.reap() || len(endedChildren()) != 1 {
		t.Error("it was reaped")
	}
	children.starting.RUnlock()
	if children.reap() || len(endedChildren()) != 0 {
		t.Error("it was not reaped")
	}
	_ = cmd.Process.Release()
}
