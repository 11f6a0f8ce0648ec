package supervisor

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"stap-exporter/internal/scrape"
)

// client is a client that disconnects when the test sets gone.
type client struct {
	gone   atomic.Bool
	checks atomic.Int64
}

func (c *client) Gone() bool {
	c.checks.Add(1)
	return c.gone.Load()
}

// Few requests may wait. A client that disconnects frees its slot; one that
// stays gets its answer, however often the actor's handle checked it.
func TestDisconnectFreesTheSlot(t *testing.T) {
	h := newHost()
	started := make(chan *process, 1)
	h.onStart = func(p *process) { started <- p }
	s := startTree(t, h, Config{Scripts: named("a.stp"), ReadTimeout: time.Minute, MaxWaiting: 2})
	request := func(c *client) <-chan scrape.Answer {
		answered := make(chan scrape.Answer, 1)
		q := waiting()
		q.Client = c
		go func() { answered <- s.Scrape([]byte("a.stp"), q) }()
		eventually(
			t,
			"the client is checked while it waits",
			func() bool { return c.checks.Load() > 0 || len(answered) > 0 },
		)
		return answered
	}
	stays, leaves := &client{}, &client{}
	stayed := request(stays)
	disconnected := request(leaves)
	if a := <-request(&client{}); !errors.Is(a.Err, scrape.ErrOverLimit) || a.Status == nil {
		t.Errorf("over the limit: %v", a.Err)
	}
	leaves.gone.Store(true)
	if a := <-disconnected; !errors.Is(a.Err, scrape.ErrClientGone) {
		t.Errorf("after the disconnect: %v", a.Err)
	}
	next := request(&client{})
	if len(next) > 0 {
		t.Fatalf("the slot is not free: %v", (<-next).Err)
	}
	(<-started).ready()
	for _, answered := range []<-chan scrape.Answer{stayed, next} {
		if a := <-answered; a.Err != nil || text(a) != "reads 1\n" {
			t.Errorf("a client that stayed: %q, %v", text(a), a.Err)
		}
	}
}

// A request that reaches its deadline frees its slot, too.
func TestDeadlineFreesTheSlot(t *testing.T) {
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
