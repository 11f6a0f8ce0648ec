package stap

import (
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// Whoever asks gets what was done after he asked, and many who ask at once get the same.
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
				t.Errorf("got round %d, asked after it had begun", n)
			}
		})
	}
	waitFor(t, "somebody waits", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.waiting != nil
	})
	close(letGo)
	all.Wait()
	waitFor(t, "all is over", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return !s.running && s.waiting == nil
	})
	if n := begun.Load(); n > 21 {
		t.Errorf("%d rounds for 21", n)
	}
}

func TestProcessesSeesItself(t *testing.T) {
	if !slices.ContainsFunc(processes(), func(p process) bool { return p.pid == os.Getpid() && p.group != 0 }) {
		t.Error("this process is not among them")
	}
}
