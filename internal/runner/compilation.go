package runner

import (
	"fmt"
	"sync"
	"time"

	"stap-exporter/internal/stapout"
	"stap-exporter/internal/toolchain"
)

// compilations are the compilations for the cache that are under way, by key.
// Its methods may be called from any goroutine.
type compilations struct {
	mu    sync.Mutex
	byKey map[string]*compilation
}

// compilation is one compilation for the cache, by the run that began it. Other
// runs that need the same module wait for it.
type compilation struct {
	run  *Run
	done chan struct{} // closed when it is over
	exit Exit          // how it ended; may be read after done

	mu       sync.Mutex
	activity string
	news     chan struct{} // closed and replaced when activity changes
}

// join returns the compilation of key, and whether it is r's own. That one must
// end with leave.
func (c *compilations) join(key string, r *Run) (one *compilation, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one := c.byKey[key]; one != nil {
		return one, false
	}
	one = &compilation{
		run:      r,
		activity: stapout.Activity(1),
		done:     make(chan struct{}),
		news:     make(chan struct{}),
	}
	if c.byKey == nil {
		c.byKey = map[string]*compilation{}
	}
	c.byKey[key] = one
	return one, true
}

func (c *compilations) leave(key string, one *compilation) {
	c.mu.Lock()
	delete(c.byKey, key)
	c.mu.Unlock()
	one.run.compilation = nil
	close(one.done)
}

// progress tells the waiting runs what the compilation is doing. It may be
// called on nil.
func (c *compilation) progress(activity string) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.activity = activity
	close(c.news)
	c.news = make(chan struct{})
}

func (c *compilation) current() (activity string, news <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.activity, c.news
}

// await waits for another run's compilation and reports what it is doing. over:
// this run ends with exit. Otherwise the compilation is over and the cache may
// have the module.
func (r *Run) await(c *compilation, timeout <-chan time.Time) (exit Exit, over bool) {
	exit = Exit{Code: -1, Stage: toolchain.StageCompile}
	for {
		activity, news := c.current()
		r.report(Progress{Run: r.number, Activity: activity, Compiling: true})
		select {
		case <-c.done:
			// A failure of stap itself would be this run's, too. A stop of the
			// other run, or its timeout, says nothing about this one.
			e := c.exit
			return e, e.Code > 0 && e.Err == nil && !e.Stopped
		case <-news:
		case <-r.stop.Done():
			return exit, true
		case <-r.kill.Done():
			return exit, true
		case <-timeout:
			exit.Err = fmt.Errorf("start timeout: not done after %v (%s)", r.job.timeout, toolchain.StageCompile)
			return exit, true
		}
	}
}
