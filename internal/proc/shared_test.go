package proc

import (
	"sync"
	"sync/atomic"
	"testing"

	"stap-exporter/internal/staptest"
)

// Every caller gets a result that was begun after its call, and many callers at
// the same time get the same one.
func TestShared(t *testing.T) {
	var begun atomic.Int64
	held, letGo := make(chan struct{}), make(chan struct{})
	s := shared[int64]{do: func() int64 {
		n := begun.Add(1)
		if n == 1 {
			close(held)
			<-letGo
		}
		return n
	}}
	var all sync.WaitGroup
	all.Go(func() {
		if n := s.next(); n != 1 {
			t.Errorf("the first got round %d", n)
		}
	})
	<-held
	for range 20 {
		all.Go(func() {
			before := begun.Load()
			if n := s.next(); n <= before {
				t.Errorf("got round %d, which began before the call", n)
			}
		})
	}
	staptest.WaitFor(t, "a caller waits", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.waiting != nil
	})
	close(letGo)
	all.Wait()
	staptest.WaitFor(t, "all is over", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return !s.running && s.waiting == nil
	})
	if n := begun.Load(); n > 21 {
		t.Errorf("%d rounds for 21", n)
	}
}
