package supervisor

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
)

func TestMain(m *testing.M) {
	// protoactor-go's dead-letter throttle keeps one goroutine for a second
	// after each dead letter. The second name is where the compiler inlines it.
	const throttle = "github.com/asynkron/protoactor-go/actor."
	goleak.VerifyTestMain(
		m,
		goleak.IgnoreAnyFunction(throttle+"NewThrottle.func1.1"),
		goleak.IgnoreAnyFunction(throttle+"NewDeadLetter.NewThrottle.func4.1"),
	)
}

func named(names ...string) (list []script.Script) {
	for _, n := range names {
		list = append(list, script.Script{Name: n, Module: "m_" + n, Autostart: n[0] == 'a'})
	}
	return list
}

func startTree(t *testing.T, h *host, cfg Config) *Supervisor {
	t.Helper()
	if cfg.ReadTimeout == 0 {
		cfg.ReadTimeout = 10 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel))
	}
	s, err := StartWith(cfg, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if residue := s.Shutdown(ctx); residue != nil {
			t.Errorf("residue: %v", residue)
		}
		if n := h.alive(); n != 0 {
			t.Errorf("%d children are still alive after the shutdown", n)
		}
	})
	return s
}

func text(a scrape.Answer) string {
	if a.Page == nil {
		return ""
	}
	return string(a.Page.Text())
}

func waiting() scrape.Query {
	return scrape.Query{Wait: true, Deadline: time.Now().Add(20 * time.Second)}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("did not happen: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func status(t *testing.T, s *Supervisor, name string) *scrape.Status {
	t.Helper()
	for _, st := range s.Statuses() {
		if st.Script.Name == name {
			return st
		}
	}
	t.Fatalf("no script %q", name)
	return nil
}

func listed(s *Supervisor) (names []string) {
	for _, st := range s.Statuses() {
		names = append(names, st.Script.Name)
	}
	return names
}
