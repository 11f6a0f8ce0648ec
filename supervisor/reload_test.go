package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"stap-exporter/internal/scrape"
)

func TestReloadFollowsTheDirectory(t *testing.T) {
	f, h := newDirectory(t, "a.stp", "b.stp"), newHost()
	s := f.serve(h, Config{})
	for _, n := range []string{"a.stp", "b.stp"} {
		if a := s.Scrape([]byte(n), waiting()); a.Err != nil {
			t.Fatal(a.Err)
		}
	}
	reload(t, s) // nothing changed
	if !exposes(t, s, "a.stp") {
		t.Error("no metrics of a.stp")
	}
	if h.count("a.stp") != 1 || status(t, s, "a.stp").State != scrape.Running {
		t.Error("a reload without a change touched a script")
	}

	f.remove("a.stp")
	f.write("autostart.stp", "probe end {}\n")
	reload(t, s)
	if a := s.Scrape([]byte("a.stp"), waiting()); !errors.Is(a.Err, scrape.ErrUnknown) {
		t.Errorf("removed script: %v", a.Err)
	}
	if names := listed(s); !slices.Equal(names, []string{"autostart.stp", "b.stp"}) {
		t.Errorf("listed: %q", names)
	}
	eventually(t, "the new script runs, the removed one does not", func() bool {
		return status(t, s, "autostart.stp").State == scrape.Running && h.alive() == 2
	})
	eventually(t, "its series are gone", func() bool { return !exposes(t, s, "a.stp") })

	f.write("b.stp", "probe never {}\n")
	reload(t, s)
	eventually(
		t,
		"the new version runs",
		func() bool { return h.count("b.stp") == 2 && status(t, s, "b.stp").State == scrape.Running },
	)
}

// exposes reports whether a metric has that label value.
func exposes(t *testing.T, s *Supervisor, label string) bool {
	t.Helper()
	families, err := s.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetValue() == label {
					return true
				}
			}
		}
	}
	return false
}

// A removed script that comes back is started when the child of the one before
// has ended: the two share the module.
func TestScriptComesBackWhileItsPredecessorEnds(t *testing.T) {
	f, h := newDirectory(t, "a.stp"), newHost()
	ending := make(chan struct{})
	var first atomic.Bool
	slow := slowHost{h, ending, &first}
	c, _ := f.scan()
	s, err := StartWith(Config{
		Scripts:     c.Scripts,
		Scan:        f.scan,
		ReadTimeout: time.Second,
		Logger:      zap.NewNop(),
	}, slow)
	if err != nil {
		t.Fatal(err)
	}
	s.Scrape([]byte("a.stp"), waiting())
	f.remove("a.stp")
	reload(t, s)
	f.write("a.stp", "probe begin {}\n")
	reload(t, s)
	if a := s.Scrape([]byte("a.stp"), waiting()); !errors.Is(a.Err, scrape.ErrUnknown) || h.count("a.stp") != 1 {
		t.Errorf("while the old one ends: %v, %d starts", a.Err, h.count("a.stp"))
	}
	// To remove and write it once more makes no difference.
	f.remove("a.stp")
	reload(t, s)
	f.write("a.stp", "probe end {}\n")
	reload(t, s)
	close(ending)
	eventually(t, "it is served again", func() bool { return s.Scrape([]byte("a.stp"), waiting()).Err == nil })
	if st := status(t, s, "a.stp"); st.Run != 1 || h.count("a.stp") != 2 {
		t.Errorf("run %d, %d starts", st.Run, h.count("a.stp"))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if residue := s.Shutdown(ctx); residue != nil || h.alive() != 0 {
		t.Errorf("residue: %q, %d alive", residue, h.alive())
	}
}

// A directory that cannot be read changes nothing.
func TestDirectoryVanishes(t *testing.T) {
	f, h := newDirectory(t, "a.stp"), newHost()
	s := f.serve(h, Config{})
	if err := os.Rename(f.dir, f.dir+".away"); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(); err == nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("reload: %v", err)
	}
	if a := s.Scrape([]byte("a.stp"), waiting()); a.Err != nil {
		t.Errorf("a.stp: %v", a.Err)
	}
	if err := os.Rename(f.dir+".away", f.dir); err != nil {
		t.Fatal(err)
	}
	f.write("b.stp", "probe begin {}\n")
	reload(t, s)
	if a := s.Scrape([]byte("b.stp"), waiting()); a.Err != nil || h.count("a.stp") != 1 {
		t.Errorf("b.stp: %v, %d starts of a.stp", a.Err, h.count("a.stp"))
	}
}

// Thousands of scrapes of a script while other scripts come, go and change:
// none is lost, and every request for the others is answered.
func TestNoScrapeIsLost(t *testing.T) {
	f, h := newDirectory(t, "steady.stp", "changing.stp", "coming.stp"), newHost()
	s := f.serve(h, Config{})
	s.Scrape([]byte("steady.stp"), waiting())
	stop := make(chan struct{})
	var clients sync.WaitGroup
	var steady atomic.Int64
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if a := s.Scrape([]byte("steady.stp"), waiting()); a.Err != nil {
					t.Errorf("steady.stp: %v", a.Err)
					return
				}
				steady.Add(1)
				for _, n := range []string{"changing.stp", "coming.stp"} {
					begun := time.Now()
					a := s.Scrape([]byte(n), waiting())
					if unknown := n == "coming.stp" && errors.Is(a.Err, scrape.ErrUnknown); a.Err != nil && !unknown {
						t.Errorf("%s: %v after %v", n, a.Err, time.Since(begun))
						return
					}
				}
			}
		})
	}
	for i := 0; steady.Load() < 2000 || i < 100; i++ {
		if t.Failed() {
			break
		}
		f.write("changing.stp", fmt.Sprintf("probe begin {} // %d\n", i))
		if i%2 == 0 {
			f.remove("coming.stp")
		} else {
			f.write("coming.stp", "probe begin {}\n")
		}
		reload(t, s)
	}
	close(stop)
	clients.Wait()
	h.validations.Wait()
	if h.count("steady.stp") != 1 {
		t.Errorf("steady.stp was started %d times", h.count("steady.stp"))
	}
	t.Logf(
		"%d scrapes of steady.stp, %d starts of changing.stp, %d of coming.stp",
		steady.Load(),
		h.count("changing.stp"),
		h.count("coming.stp"),
	)
}
