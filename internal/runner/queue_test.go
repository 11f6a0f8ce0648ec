package runner

import (
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stap-exporter/internal/staptest"
	"stap-exporter/internal/toolchain"
)

func (s *slot) hasSlot() bool {
	select {
	case <-s.granted:
		return true
	default:
		return false
	}
}

// order returns the names of the slots in the order in which they are granted,
// each released before the next.
func order(q *startQueue, slots map[string]*slot) (served []string) {
	for len(slots) > 0 {
		before := len(slots)
		for name, s := range slots {
			if s.hasSlot() {
				served = append(served, name)
				delete(slots, name)
				s.release()
				s.release()
				break
			}
		}
		if len(slots) == before {
			return append(served, "none is granted")
		}
	}
	if q.held != 0 || len(q.waiting) != 0 {
		served = append(served, "leaked")
	}
	return served
}

func TestQueueServesByClassThenByOrder(t *testing.T) {
	q := newStartQueue(1)
	first := q.join(background)
	slots := map[string]*slot{}
	for _, j := range []struct {
		name  string
		class class
	}{
		{"background1", background},
		{"auto1", autostart},
		{"interactive1", interactive},
		{"auto2", autostart},
		{"background2", background},
		{"interactive2", interactive},
		{"gone", interactive},
	} {
		slots[j.name] = q.join(j.class)
	}
	slots["auto2"].prioritize()
	slots["auto2"].prioritize()
	slots["gone"].release()
	delete(slots, "gone")
	if position, length := slots["auto2"].position(); position != 3 || length != 6 {
		t.Errorf("auto2 is at %d of %d", position, length)
	}
	if position, _ := first.position(); position != 0 {
		t.Errorf("a held slot has position %d", position)
	}
	first.release()
	want := "interactive1 interactive2 auto2 auto1 background1 background2"
	if got := strings.Join(order(q, slots), " "); got != want {
		t.Errorf("served: %s", got)
	}
}

// Background runs leave a slot for the others, where there are two.
func TestQueueKeepsASlotFree(t *testing.T) {
	q := newStartQueue(2)
	first, second := q.join(background), q.join(background)
	if !first.hasSlot() || second.hasSlot() {
		t.Error("background runs have all slots, or none")
	}
	start := q.join(autostart)
	if !start.hasSlot() {
		t.Error("a start waits for a background run")
	}
	first.release()
	if second.hasSlot() {
		t.Error("a background run has the last slot")
	}
	start.release()
	if !second.hasSlot() {
		t.Error("a background run is never served")
	}
	second.release()
}

// With any mix of runs, no more slots are held than there are, every run that
// stays gets one, and in the end none is held or waited for.
func TestQueueUnderStorm(t *testing.T) {
	for _, slots := range []int{1, 2, 3, 8} {
		q := newStartQueue(slots)
		var held atomic.Int64
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() {
				r := rand.New(rand.NewPCG(uint64(slots), uint64(i)))
				s := q.join(class(r.IntN(3)))
				defer s.release()
				switch r.IntN(4) {
				case 0:
					s.prioritize()
				case 1:
					s.release() // it does not wait
					s.prioritize()
					return
				}
				<-s.granted
				if n := held.Add(1); n > int64(slots) {
					t.Errorf("%d of %d slots are held", n, slots)
				}
				s.prioritize()
				s.position()
				held.Add(-1)
			})
		}
		all.Wait()
		if q.held != 0 || len(q.waiting) != 0 || q.hasWaiters() {
			t.Errorf("%d slots: in the end %d are held, %d waited for", slots, q.held, len(q.waiting))
		}
	}
}

// free fails the test when a slot is held or waited for.
func (l *lab) free() {
	l.t.Helper()
	q := l.host.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.held != 0 || len(q.waiting) != 0 {
		l.t.Errorf("%d slots are held, %d waited for", q.held, len(q.waiting))
	}
}

// atPosition waits until the run reports this position in the queue.
func (r *started) atPosition(position, length int) {
	r.t.Helper()
	for {
		select {
		case e := <-r.events:
			switch p := e.(type) {
			case Progress:
				if p.Position == position && p.Length == length {
					return
				}
			default:
				r.t.Fatalf("%T while it waits for position %d", e, position)
			}
		case <-time.After(staptest.Patience):
			r.t.Fatalf("never at position %d of %d", position, length)
		}
	}
}

// One starts at a time, an interactive one first, and the start timeout counts
// from the granted slot on.
func TestStartsWaitForTheirSlot(t *testing.T) {
	l := newLab(t, "compile-waits", func(c *Config) { c.MaxParallel = 1 })
	one := l.start(l.script("m1"))
	staptest.WaitFor(t, "m1 compiles", func() bool { return l.LogBegins("compiling m1 ") })
	impatient := l.script("m2")
	impatient.Directives.StartTimeout = time.Millisecond
	two := l.start(impatient)
	two.atPosition(1, 1)
	three := l.start(l.script("m3"))
	three.atPosition(2, 2)
	three.Prioritize()
	three.atPosition(1, 2)
	two.atPosition(2, 2)
	if l.LogBegins("compiling m2 ") || l.LogBegins("compiling m3 ") {
		t.Error("two compile at a time")
	}
	staptest.WriteFile(t, l.dir+"/go-m1", "")
	one.ready()
	two.atPosition(1, 1)
	staptest.WriteFile(t, l.dir+"/go-m3", "")
	if ready := three.ready(); ready.Queued <= 0 {
		t.Error("m3 did not wait")
	}
	if e := two.exited(); e.Err == nil || !strings.HasPrefix(e.Err.Error(), "start timeout") {
		t.Errorf("m2: %s", e)
	}
	for _, r := range []*started{one, three} {
		r.Stop(nil)
		if e := r.exited(); !e.Stopped || len(e.Residue) > 0 {
			t.Errorf("%s", e.Reason())
		}
	}
	l.free()
}

// A run with a slot has no position in the queue any more, also before its
// first process: removing the residue of an earlier run may take a while.
func TestSlotEndsThePosition(t *testing.T) {
	l := newLab(t, "module-stuck load-hangs", func(c *Config) {
		c.Runtime, c.LoadWait, c.CleanupWait, c.MaxParallel = toolchain.Kernel, time.Millisecond, 50*time.Millisecond, 1
	})
	s := l.script("x1")
	s.Executable = true
	r := l.start(s)
	l.WaitForLog("inserted")
	r.Stop(nil)
	r.exited()
	holder := l.host.queue.join(interactive)
	r = l.start(s) // which cannot begin: the module is there
	r.atPosition(1, 1)
	holder.release()
	r.atPosition(0, 0)
	if e := r.exited(); e.Stage != toolchain.StageStart || len(e.Residue) == 0 {
		t.Errorf("exit is %s", e.Reason())
	}
}

// A run that ends while it waits starts nothing and leaves the queue: by a
// Stop, by a Kill, and all at once as at a shutdown.
func TestQueuedStartsAreStopped(t *testing.T) {
	l := newLab(t, "compile-waits", func(c *Config) { c.MaxParallel = 1 })
	holder := l.start(l.script("m1"))
	staptest.WaitFor(t, "m1 compiles", func() bool { return l.LogBegins("compiling m1 ") })
	var queued []*started
	for i, module := range []string{"m2", "m3", "m4", "m5"} {
		r := l.start(l.script(module))
		r.atPosition(i+1, i+1)
		queued = append(queued, r)
	}
	queued[1].Stop(nil)
	queued[0].Kill()
	for _, r := range queued[:2] {
		if e := r.exited(); !e.Stopped || e.String() != "stopped before it started" {
			t.Errorf("%s", e)
		}
	}
	queued[3].atPosition(2, 2)
	for _, r := range append(queued[2:], holder) {
		r.Stop(nil)
	}
	for _, r := range append(queued[2:], holder) {
		if e := r.exited(); !e.Stopped || len(e.Residue) > 0 {
			t.Errorf("%s", e.Reason())
		}
	}
	l.free()
	for _, module := range []string{"m2", "m3", "m4", "m5"} {
		if l.LogBegins("compiling " + module + " ") {
			t.Errorf("%s was started", module)
		}
	}
	l.clean("m1")
}

// A start that fails releases its slot.
func TestFailedStartsReleaseTheirSlot(t *testing.T) {
	l := newLab(t, "m1:stap-fails m2:stap-fails", func(c *Config) { c.MaxParallel = 1 })
	one, two, three := l.start(l.script("m1")), l.start(l.script("m2")), l.start(l.script("m3"))
	for _, r := range []*started{one, two} {
		if e := r.exited(); e.Code != 1 {
			t.Errorf("%s", e)
		}
	}
	three.ready()
	l.free()
	three.Stop(nil)
	three.exited()
}

// A stap that hangs does not keep the others from starting until its start
// timeout.
func TestHangingStartLosesItsSlot(t *testing.T) {
	l := newLab(t, "m1:compile-hangs", func(c *Config) { c.MaxParallel = 1 })
	l.host.idleStart = 50 * time.Millisecond
	one := l.start(l.script("m1"))
	l.WaitForLog("compiling")
	two := l.start(l.script("m2"))
	two.ready()
	two.Stop(nil)
	two.exited()
	one.Stop(nil)
	if e := one.exited(); !e.Stopped || e.Stage != toolchain.StageCompile {
		t.Errorf("%s", e)
	}
	l.free()
}
