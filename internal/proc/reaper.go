package proc

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Reaper adopts the orphans of this process's descendants and reaps them, in a
// goroutine of its own.
type Reaper struct {
	signals chan os.Signal
	stop    chan struct{}
	done    chan struct{}
}

// reapPause is the shortest time between two scans for zombies.
const reapPause = 50 * time.Millisecond

// StartReaper makes orphaned descendants children of this process (which they
// are anyway of process 1, which in a container this may be) and reaps them
// until Close. Only for a program in which no other package starts processes:
// the reaper would take their exit codes.
func StartReaper() (*Reaper, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, err
	}
	r := &Reaper{signals: make(chan os.Signal, 1), stop: make(chan struct{}), done: make(chan struct{})}
	signal.Notify(r.signals, syscall.SIGCHLD)
	go r.loop()
	return r, nil
}

func (r *Reaper) loop() {
	defer close(r.done)
	var later <-chan time.Time
	for {
		select {
		case <-r.stop:
			return
		case <-r.signals:
			if later == nil {
				// often the signal is for a child that its waiter reaps at once
				later = time.After(reapPause)
			}
		case <-later:
			later = nil
			if children.reap() {
				later = time.After(reapPause)
			}
		}
	}
}

// Close ends the reaper. It may be called on nil.
func (r *Reaper) Close() {
	if r == nil {
		return
	}
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	signal.Stop(r.signals)
	close(r.stop)
	<-r.done
}
