package supervisor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stap-exporter/internal/scrape"
)

func TestScrape(t *testing.T) {
	s := startTree(t, newHost(), Config{Scripts: named("b.stp", "c.stp")})
	if a := s.Scrape([]byte("none.stp"), waiting()); !errors.Is(a.Err, scrape.ErrUnknown) {
		t.Errorf("unknown script: %v", a.Err)
	}
	a := s.Scrape([]byte("b.stp"), waiting())
	if a.Err != nil || text(a) != "reads 1\n" {
		t.Errorf("got %q, %v", text(a), a.Err)
	}
	list := s.Statuses()
	if len(list) != 2 || list[0].State != scrape.Running || list[1].State != scrape.Idle {
		t.Errorf("statuses: %+v", list)
	}
}

// Every reply has the text of a read that began after its request, and requests
// share reads.
func TestSharedReadsAreFresh(t *testing.T) {
	h := newHost()
	var src *source
	h.onStart = func(p *process) { src = p.source.(*source); p.ready() }
	s := startTree(t, h, Config{Scripts: named("b.stp")})
	s.Scrape([]byte("b.stp"), waiting())

	var clients sync.WaitGroup
	var replies atomic.Int64
	for range 16 {
		clients.Go(func() {
			for range 2000 {
				before := src.reads.Load()
				a := s.Scrape([]byte("b.stp"), waiting())
				var n int64
				if _, err := fmt.Sscanf(text(a), "reads %d\n", &n); err != nil || n <= before {
					t.Errorf("after read %d: got %q, %v", before, text(a), a.Err)
					return
				}
				replies.Add(1)
			}
		})
	}
	clients.Wait()
	if src.reads.Load() >= replies.Load() {
		t.Errorf("%d reads for %d replies: none was shared", src.reads.Load(), replies.Load())
	}
}

func TestStuckReadIsAnswered(t *testing.T) {
	h := newHost()
	var reads atomic.Int64
	h.onStart = func(p *process) {
		p.source.(*source).broken = func(ctx context.Context) error {
			if reads.Add(1) == 1 {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		p.ready()
	}
	s := startTree(t, h, Config{Scripts: named("b.stp"), ReadTimeout: 50 * time.Millisecond})
	if a := s.Scrape([]byte("b.stp"), waiting()); !errors.Is(a.Err, scrape.ErrReadTimeout) {
		t.Errorf("stuck read answered %v", a.Err)
	}
	if a := s.Scrape([]byte("b.stp"), waiting()); a.Err != nil {
		t.Errorf("next read answered %v", a.Err)
	}
}

// A request for an unknown script costs no allocation.
func TestAskDoesNotAllocate(t *testing.T) {
	s := startTree(t, newHost(), Config{Scripts: named("auto.stp")})
	eventually(t, "auto.stp runs", func() bool { return s.Statuses()[0].State == scrape.Running })
	name, q := []byte("none.stp"), waiting()
	if n := testing.AllocsPerRun(100, func() { s.Scrape(name, q) }); n != 0 {
		t.Errorf("%v allocations for an unknown script", n)
	}
}
