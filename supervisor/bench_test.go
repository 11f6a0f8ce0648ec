package supervisor

import (
	"context"
	"testing"
	"time"

	"go.uber.org/zap"

	"stap-exporter/actors"
	"stap-exporter/internal/exposition"
	"stap-exporter/internal/script"
)

// BenchmarkScrape is the way of a request through the actors, for a source whose read costs nothing.
func BenchmarkScrape(b *testing.B) {
	h := newHost()
	page := exposition.Check([]byte("count{tid=\"1\",cpu=\"0\"} 9\n"), exposition.Options{})
	h.onStart = func(p *process) { p.source = constant{page}; p.ready() }
	s, err := start(Config{Scripts: named("b.stp"), ReadTimeout: 10 * time.Second, Logger: zap.NewNop()}, h)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Shutdown(context.Background())
	name := []byte("b.stp")
	s.Scrape(name, patient())
	for _, clients := range []int{1, 32, 512} {
		b.Run(map[int]string{1: "2 clients", 32: "64 clients", 512: "1024 clients"}[clients], func(b *testing.B) {
			b.SetParallelism(clients) // times GOMAXPROCS
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if a := s.Scrape(name, script.Query{Deadline: time.Now().Add(time.Minute)}); a.Err != nil {
						b.Error(a.Err)
						return
					}
				}
			})
		})
	}
}

// constant is a source whose read costs nothing.
type constant struct{ page *exposition.Page }

func (c constant) Read(context.Context, <-chan struct{}) (*exposition.Page, error) {
	return c.page, nil
}
func (c constant) Patient() bool { return false }
func (c constant) Pace() int     { return 0 }

var _ actors.Source = constant{}
