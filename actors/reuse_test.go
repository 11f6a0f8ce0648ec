package actors

import (
	"sync/atomic"
	"testing"

	"stap-exporter/internal/scrape"
)

// An answered request goes back to the pool, so the actor must not read it any
// more. Only the race detector notices.
func TestAnsweredRequestIsNotRead(t *testing.T) {
	a := &scriptActor{durable: &durable{status: &atomic.Pointer[scrape.Status]{}}}
	for range 100 {
		m := &ReadMetrics{reply: make(chan reply, maxReplies), number: 1}
		a.startWaiters.add(m)
		reused := make(chan struct{})
		go func() {
			defer close(reused)
			<-m.reply
			m.Query = scrape.Query{Wait: true}
		}()
		a.waitForRun()
		<-reused
		if a.startWaiters.list = nil; a.waiting() != 0 {
			t.Fatal("an answered request waits")
		}
	}
}
