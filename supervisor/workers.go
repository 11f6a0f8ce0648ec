package supervisor

import "runtime"

// workers run what script actors have to do: a batch of messages, or a read.
// Each is short and comes often. A new goroutine would begin each with a small
// stack that has to grow, which cost more than all the rest (see
// bench/README.md); the stack of a worker has grown.
type workers struct {
	work chan func()
	quit chan struct{}
}

// newWorkers starts the goroutines. stop ends them.
func newWorkers() *workers {
	w := &workers{work: make(chan func()), quit: make(chan struct{})}
	for range 4 * runtime.GOMAXPROCS(0) {
		go w.loop()
	}
	return w
}

func (w *workers) loop() {
	for {
		select {
		case f := <-w.work:
			f()
		case <-w.quit:
			return
		}
	}
}

// run lets a worker call f. It does not wait: if all are busy f gets a
// goroutine of its own. Any goroutine may call it, after stop, too.
func (w *workers) run(f func()) {
	select {
	case w.work <- f:
	default:
		go f()
	}
}

// stop ends the workers when they have done their current work.
func (w *workers) stop() { close(w.quit) }
