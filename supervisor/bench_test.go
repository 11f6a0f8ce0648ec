package supervisor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"stap-exporter/actors"
	"stap-exporter/internal/exposition"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/trust"
)

// BenchmarkScrape is a request and its answer through the actors and their
// metrics, for a source whose read costs nothing: 1 to 10,000 clients send
// requests at the same time, and share reads.
func BenchmarkScrape(b *testing.B) {
	page := exposition.Sanitize([]byte("count{tid=\"1\",cpu=\"0\"} 9\n"), exposition.Options{})
	for _, clients := range []int{1, 10, 100, 1000, 10_000} {
		b.Run(fmt.Sprintf("%d clients", clients), func(b *testing.B) {
			h := newHost()
			reads := &constant{page: page}
			h.onStart = func(p *process) { p.source = reads; p.ready() }
			s, err := StartWith(Config{
				Scripts:     named("b.stp"),
				ReadTimeout: 10 * time.Second,
				MaxWaiting:  clients,
				Logger:      zap.NewNop(),
			}, h)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Shutdown(context.Background())
			name := []byte("b.stp")
			s.Scrape(name, waiting())
			var requests atomic.Int64
			requests.Store(int64(b.N))
			before := reads.count.Load()
			b.ReportAllocs()
			b.ResetTimer()
			var all sync.WaitGroup
			for range clients {
				all.Go(func() {
					for requests.Add(-1) >= 0 {
						if a := s.Scrape(name, scrape.Query{Deadline: time.Now().Add(time.Minute)}); a.Err != nil {
							b.Error(a.Err)
							return
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/float64(reads.count.Load()-before), "replies/read")
		})
	}
}

// BenchmarkRoundTrip is a request and its answer through an actor's mailbox,
// with the metrics and without a read: the script is refused.
// BenchmarkRoundTrip of package actors is the same without metrics.
func BenchmarkRoundTrip(b *testing.B) {
	scripts := named("b.stp")
	scripts[0].Refused = trust.ErrUntrusted
	s, err := StartWith(Config{Scripts: scripts, ReadTimeout: 10 * time.Second, Logger: zap.NewNop()}, newHost())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Shutdown(context.Background())
	name := []byte("b.stp")
	b.ReportAllocs()
	for b.Loop() {
		if a := s.Scrape(name, waiting()); !errors.Is(a.Err, trust.ErrUntrusted) {
			b.Fatal(a.Err)
		}
	}
}

// constant is a source whose read costs nothing.
type constant struct {
	page  *exposition.Page
	count atomic.Int64
}

func (c *constant) Read(context.Context, <-chan struct{}) (*exposition.Page, error) {
	c.count.Add(1)
	return c.page, nil
}
func (c *constant) MustDrain() bool { return false }
func (c *constant) Pace() int       { return 0 }

var _ actors.Source = (*constant)(nil)
