package actors_test

import (
	"errors"
	"testing"
	"time"

	"stap-exporter/actors"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
)

// BenchmarkRoundTrip is a request and its answer through a script actor's
// mailbox, without the metrics that package supervisor adds: either answered at
// once, because the script is refused, or after a read that costs nothing.
func BenchmarkRoundTrip(b *testing.B) {
	refused := errors.New("refused")
	for _, bench := range []struct {
		name   string
		script script.Script
		want   error
	}{
		{"answered at once", script.Script{Name: "a.stp", Module: "a", Refused: refused}, refused},
		{"after a read", script.Script{Name: "b.stp", Module: "b"}, nil},
	} {
		b.Run(bench.name, func(b *testing.B) {
			system := newSystem()
			defer system.Shutdown()
			child := actors.Spec{Script: bench.script, Failures: new(actors.Failures)}
			h, err := actors.Spawn(system.Root, newConfig(), child)
			if err != nil {
				b.Fatal(err)
			}
			defer func() {
				h.Send(actors.Shutdown{})
				<-h.Ended()
				if err := system.Root.StopFuture(h.ActorPID()).Wait(); err != nil {
					b.Error(err)
				}
			}()
			b.ReportAllocs()
			for b.Loop() {
				a := h.Ask(scrape.Query{Wait: true, Deadline: time.Now().Add(time.Minute)})
				if !errors.Is(a.Err, bench.want) {
					b.Fatal(a.Err)
				}
			}
		})
	}
}
