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

func (t *slot) hasSlot() bool {
	select {
	case <-t.granted:
		return true
	default:
		return false
	}
}

// order lists the names of the turns as they are served, each leaving before
// the next.
func order(q *startQueue, turns map[string]*slot) (served []string) {
	for len(turns) > 0 {
		before := len(turns)
		for name, t := range turns {
			if t.hasSlot() {
				served = append(served, name)
				delete(turns, name)
				t.release()
				t.release()
				break
			}
		}
		if len(turns) == before {
			return append(served, "nobody is served")
		}
	}
	if q.holding != 0 || len(q.waiting) != 0 {
		served = append(served, "leaked")
	}
	return served
}

func TestQueueServesByClassThenByOrder(t *testing.T) {
	q := newStartQueue(1)
	first := q.join(background)
	turns := map[string]*slot{}
	for _, j := range []struct {
		name  string
		class class
	}{{"later1", background}, {"auto1", autostart}, {"asked1", interactive}, {"auto2", autostart}, {"later2", background}, {"asked2", interactive}, {"gone", interactive}} {
		turns[j.name] = q.join(j.class)
	}
	turns["auto2"].prioritize()
	turns["auto2"].prioritize()
	turns["gone"].release()
	delete(turns, "gone")
	if place, of := turns["auto2"].position(); place != 3 || of != 6 {
		t.Errorf("auto2 is at %d of %d", place, of)
	}
	if place, _ := first.position(); place != 0 {
		t.Errorf("who is served is at place %d", place)
	}
	first.release()
	if got := strings.Join(order(q, turns), " "); got != "asked1 asked2 auto2 auto1 later1 later2" {
		t.Errorf("served: %s", got)
	}
}

// What is ahead must leave a place for what is not, where there are two.
func TestQueueKeepsAPlaceFree(t *testing.T) {
	q := newStartQueue(2)
	first, second := q.join(background), q.join(background)
	if !first.hasSlot() || second.hasSlot() {
		t.Error("what is ahead has all places, or none")
	}
	start := q.join(autostart)
	if !start.hasSlot() {
		t.Error("a start waits for what is ahead")
	}
	first.release()
	if second.hasSlot() {
		t.Error("what is ahead has the last place")
	}
	start.release()
	if !second.hasSlot() {
		t.Error("what is ahead is never served")
	}
	second.release()
}

// Whatever comes together, no more than there are places are held at a time,
// everybody who stays is served, and in the end nobody holds or waits.
func TestQueueUnderStorm(t *testing.T) {
	for _, places := range []int{1, 2, 3, 8} {
		q := newStartQueue(places)
		var held atomic.Int64
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() {
				r := rand.New(rand.NewPCG(uint64(places), uint64(i)))
				turn := q.join(class(r.IntN(3)))
				defer turn.release()
				switch r.IntN(4) {
				case 0:
					turn.prioritize()
				case 1:
					turn.release() // it does not wait
					turn.prioritize()
					return
				}
				<-turn.granted
				if n := held.Add(1); n > int64(places) {
					t.Errorf("%d hold %d places", n, places)
				}
				turn.prioritize()
				turn.position()
				held.Add(-1)
			})
		}
		all.Wait()
		if q.holding != 0 || len(q.waiting) != 0 || q.hasWaiters() {
			t.Errorf("%d places: in the end %d hold, %d wait", places, q.holding, len(q.waiting))
		}
	}
}

// free fails the test when somebody has, or waits for, a turn.
func (l *lab) free() {
	l.t.Helper()
	q := l.host.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.holding != 0 || len(q.waiting) != 0 {
		l.t.Errorf("%d turns are held, %d waited for", q.holding, len(q.waiting))
	}
}

// atPlace waits until the run reports this place in the queue.
func (r *started) atPlace(place, of int) {
	r.t.Helper()
	for {
		select {
		case e := <-r.events:
			switch p := e.(type) {
			case Progress:
				if p.Position == place && p.Length == of {
					return
				}
			default:
				r.t.Fatalf("%T while it waits for place %d", e, place)
			}
		case <-time.After(staptest.Patience):
			r.t.Fatalf("never at place %d of %d", place, of)
		}
	}
}

// One at a time, who is asked for first, and the start timeout counts from the
// turn on.
func TestStartsWaitForTheirTurn(t *testing.T) {
	l := newLab(t, "compile-waits", func(c *Config) { c.MaxParallel = 1 })
	one := l.start(l.script("m1"))
	staptest.WaitFor(t, "m1 compiles", func() bool { return l.LogBegins("compiling m1 ") })
	hasty := l.script("m2")
	hasty.Directives.StartTimeout = time.Millisecond
	two := l.start(hasty)
	two.atPlace(1, 1)
	three := l.start(l.script("m3"))
	three.atPlace(2, 2)
	three.Prioritize()
	three.atPlace(1, 2)
	two.atPlace(2, 2)
	if l.LogBegins("compiling m2 ") || l.LogBegins("compiling m3 ") {
		t.Error("two compile at a time")
	}
	staptest.WriteFile(t, l.dir+"/go-m1", "")
	one.ready()
	two.atPlace(1, 1)
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

// Who has its turn has no place in the queue any more, also before its first
// process: what an earlier run left may take a while to remove.
func TestTurnEndsThePlace(t *testing.T) {
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
	r.atPlace(1, 1)
	holder.release()
	r.atPlace(0, 0)
	if e := r.exited(); e.Stage != toolchain.StageStart || len(e.Residue) == 0 {
		t.Errorf("exit is %s", e.Reason())
	}
}

// A start that is ended while it waits starts nothing, and its place is gone:
// each by a Stop, by a Kill, and all at once as at a shutdown.
func TestQueuedStartsAreStopped(t *testing.T) {
	l := newLab(t, "compile-waits", func(c *Config) { c.MaxParallel = 1 })
	holder := l.start(l.script("m1"))
	staptest.WaitFor(t, "m1 compiles", func() bool { return l.LogBegins("compiling m1 ") })
	var queued []*started
	for i, module := range []string{"m2", "m3", "m4", "m5"} {
		r := l.start(l.script(module))
		r.atPlace(i+1, i+1)
		queued = append(queued, r)
	}
	queued[1].Stop(nil)
	queued[0].Kill()
	for _, r := range queued[:2] {
		if e := r.exited(); !e.Stopped || e.String() != "stopped before it started" {
			t.Errorf("%s", e)
		}
	}
	queued[3].atPlace(2, 2)
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

// A start that fails gives its place on.
func TestFailedStartsGiveTheirTurnOn(t *testing.T) {
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
func TestHangingStartLosesItsTurn(t *testing.T) {
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
