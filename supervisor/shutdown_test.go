package supervisor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"stap-exporter/internal/scrape"
)

func TestShutdownNamesTheResidue(t *testing.T) {
	h := newHost()
	h.onStart = func(p *process) { p.ready() }
	s, err := StartWith(
		Config{Scripts: named("b.stp", "c.stp"), ReadTimeout: time.Second, Logger: zap.NewNop()},
		leakyHost{h},
	)
	if err != nil {
		t.Fatal(err)
	}
	s.Scrape([]byte("b.stp"), waiting())
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	residue := s.Shutdown(ctx)
	if len(residue) != 1 || residue[0] != "b.stp: module x" {
		t.Errorf("residue: %q", residue)
	}
}

// Shutdown waits for removed scripts, too.
func TestShutdownWaitsForARemovedScript(t *testing.T) {
	f, h := newDirectory(t, "a.stp", "b.stp"), newHost()
	ending := make(chan struct{})
	c, _ := f.scan()
	s, err := StartWith(Config{
		Scripts:     c.Scripts,
		Scan:        f.scan,
		ReadTimeout: time.Second,
		Logger:      zap.NewNop(),
	}, slowHost{h, ending, &atomic.Bool{}})
	if err != nil {
		t.Fatal(err)
	}
	s.Scrape([]byte("a.stp"), waiting())
	f.remove("a.stp")
	reload(t, s)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	go func() {
		<-s.ending
		close(ending)
	}()
	if residue := s.Shutdown(ctx); residue != nil || h.alive() != 0 {
		t.Errorf("residue: %q, %d alive", residue, h.alive())
	}
	if err := s.Reload(); !errors.Is(err, scrape.ErrShuttingDown) {
		t.Errorf("reload after shutdown: %v", err)
	}
}

// A reload during a shutdown starts nothing that the shutdown does not end.
func TestReloadDuringShutdown(t *testing.T) {
	for i := range 30 {
		f, h := newDirectory(t, "autostart.stp"), newHost()
		c, err := f.scan()
		if err != nil {
			t.Fatal(err)
		}
		s, err := StartWith(Config{
			Scripts:     c.Scripts,
			Scan:        f.scan,
			ReadTimeout: time.Second,
			Logger:      zap.NewNop(),
		}, h)
		if err != nil {
			t.Fatal(err)
		}
		for j := range 10 {
			f.write(fmt.Sprintf("autostart-%d.stp", j), "probe begin {}\n")
		}
		var reloading sync.WaitGroup
		reloading.Go(func() {
			if err := s.Reload(); err != nil && !errors.Is(err, scrape.ErrShuttingDown) {
				t.Error(err)
			}
		})
		for j := 0; j < i*20; j++ {
			_ = s.Statuses() // a little later in each round
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		if residue := s.Shutdown(ctx); residue != nil || h.alive() != 0 {
			t.Errorf("residue: %q, %d alive", residue, h.alive())
		}
		cancel()
		reloading.Wait()
	}
}

// Shutdown may be called again, while it is under way and after it.
func TestShutdownTwice(t *testing.T) {
	h := newHost()
	s, err := StartWith(
		Config{Scripts: named("autostart.stp", "b.stp"), ReadTimeout: time.Second, Logger: zap.NewNop()},
		leakyHost{h},
	)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			if residue := s.Shutdown(t.Context()); len(residue) != 1 || residue[0] != "autostart.stp: module x" {
				t.Errorf("residue: %q", residue)
			}
		})
	}
	all.Wait()
	if residue := s.Shutdown(t.Context()); len(residue) != 1 || h.alive() != 0 {
		t.Errorf("residue after the shutdown: %q, %d alive", residue, h.alive())
	}
}

// A second Shutdown does not wait for longer than its context.
func TestSecondShutdownHasItsOwnDeadline(t *testing.T) {
	h := newHost()
	may := make(chan struct{})
	s, err := StartWith(
		Config{Scripts: named("autostart.stp"), ReadTimeout: time.Second, Logger: zap.NewNop()},
		slowHost{h, may, new(atomic.Bool)},
	)
	if err != nil {
		t.Fatal(err)
	}
	first := make(chan []string)
	go func() { first <- s.Shutdown(t.Context()) }()
	<-s.ending
	expired, cancel := context.WithCancel(t.Context())
	cancel()
	if residue := s.Shutdown(expired); len(residue) != 1 || !strings.Contains(residue[0], "did not end") {
		t.Errorf("residue at the deadline: %q", residue)
	}
	close(may)
	if residue := <-first; residue != nil {
		t.Errorf("residue: %q", residue)
	}
}

// With a failed root every script is ended all the same, and a reload fails.
func TestShutdownWithAFailedRoot(t *testing.T) {
	f, h := newDirectory(t, "autostart.stp", "b.stp"), newHost()
	s := f.serve(h, Config{Logger: zap.NewNop()})
	s.system.Root.Send(s.rootPID, poison{})
	if err := <-s.Fatal(); err == nil {
		t.Error("no reason")
	}
	f.write("c.stp", "probe begin {}\n")
	if err := s.Reload(); err == nil || !strings.Contains(err.Error(), "root actor has failed") {
		t.Errorf("reload: %v", err)
	}
	if residue := s.Shutdown(t.Context()); residue != nil || h.alive() != 0 {
		t.Errorf("residue: %q, %d alive", residue, h.alive())
	}
}

// Status, metrics and events have the states of a shutdown. This completes the
// test of every state and cause in test/e2e/walk_test.go, which cannot
// see them: the HTTP server accepts no connection any more.
func TestStatesOfAShutdown(t *testing.T) {
	h := newHost()
	h.onStart = func(p *process) { p.ready() }
	s, err := StartWith(Config{Scripts: named("a.stp", "idle.stp"), ReadTimeout: time.Second, Logger: zap.NewNop()}, h)
	if err != nil {
		t.Fatal(err)
	}
	if a := s.Scrape([]byte("a.stp"), waiting()); a.Err != nil {
		t.Fatal(a.Err)
	}
	if residue := s.Shutdown(t.Context()); len(residue) > 0 {
		t.Fatal(residue)
	}
	series := gather(t, s)
	seen := map[string]bool{}
	for _, e := range s.Events() {
		if e.Cause == string(scrape.CauseShutdown) {
			seen[e.Script+" "+e.To] = true
		}
	}
	for i, st := range s.Statuses() {
		name := st.Script.Name
		if st.State != scrape.Stopped || series["stap_exporter_script_state{script="+name+",state=stopped}"] != 1 ||
			!seen[name+" stopped"] ||
			(i == 0) != seen[name+" stopping"] {
			t.Errorf("%s is %s, its events: %v", name, st.State, seen)
		}
	}
}
