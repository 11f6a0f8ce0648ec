package supervisor

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"stap-exporter/internal/scrape"
)

// client is one who leaves when the test says so.
type client struct {
	left   atomic.Bool
	looked atomic.Int64
}

func (c *client) Gone() bool {
	c.looked.Add(1)
	return c.left.Load()
}

// Places are few, a client that leaves while it waits frees its own, and who
// stays gets its answer, also when it was looked at often.
func TestWhoLeavesFreesItsPlace(t *testing.T) {
	h := newHost()
	started := make(chan *process, 1)
	h.onStart = func(p *process) { started <- p }
	s := startTree(t, h, Config{Scripts: named("a.stp"), ReadTimeout: time.Minute, MaxWaiting: 2})
	ask := func(c *client) <-chan scrape.Answer {
		answered := make(chan scrape.Answer, 1)
		q := patient()
		q.Client = c
		go func() { answered <- s.Scrape([]byte("a.stp"), q) }()
		eventually(
			t,
			"the client is looked at while it waits",
			func() bool { return c.looked.Load() > 0 || len(answered) > 0 },
		)
		return answered
	}
	stays, leaves := &client{}, &client{}
	stayed := ask(stays)
	left := ask(leaves)
	if a := <-ask(&client{}); !errors.Is(a.Err, scrape.ErrOverLimit) || a.Status == nil {
		t.Errorf("without a place: %v", a.Err)
	}
	leaves.left.Store(true)
	if a := <-left; !errors.Is(a.Err, scrape.ErrClientGone) {
		t.Errorf("who left: %v", a.Err)
	}
	next := ask(&client{})
	if len(next) > 0 {
		t.Fatalf("the place is not free: %v", (<-next).Err)
	}
	(<-started).ready()
	for _, answered := range []<-chan scrape.Answer{stayed, next} {
		if a := <-answered; a.Err != nil || text(a) != "reads 1\n" {
			t.Errorf("who stayed: %q, %v", text(a), a.Err)
		}
	}
}

// A request that was too late frees its place, too.
func TestWhoIsTooLateFreesItsPlace(t *testing.T) {
	h := newHost()
	h.onStart = func(p *process) {
		p.source = &source{broken: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
		p.ready()
	}
	s := startTree(t, h, Config{Scripts: named("a.stp"), ReadTimeout: time.Minute, MaxWaiting: 1})
	for range 10 {
		a := s.Scrape([]byte("a.stp"), scrape.Query{Deadline: time.Now().Add(10 * time.Millisecond), Wait: true})
		if errors.Is(a.Err, scrape.ErrOverLimit) || a.Err == nil {
			t.Fatalf("%v", a.Err)
		}
	}
}
