package supervisor

import "runtime"

// workers run what script actors have to do: a batch of messages, or a read.
// Each is short and comes often, and a new goroutine would begin it with a
// stack that it has to let grow, which cost more than all the rest (see
// bench/README.md); that of a worker has grown.
type workers struct {
	work chan func()
	quit chan struct{}
}

// newWorkers starts the goroutines, which stop ends.
func newWorkers() *workers {
	w := &workers{work: make(chan func()), quit: make(chan struct{})}
	for range 4 * runtime.GOMAXPROCS(0) {
		go func() {
			for {
				select {
				case f := <-w.work:
					f()
				case <-w.quit:
					return
				}
			}
		}()
	}
	return w
}

// run lets a worker call f. It does not wait: where all are busy f gets a
// goroutine of its own. Any goroutine may call it, after stop, too.
func (w *workers) run(f func()) {
	select {
	case w.work <- f:
	default:
		go f()
	}
}

// stop lets the workers end once they are done with what they do.
func (w *workers) stop() { close(w.quit) }
