package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"stap-exporter/actors"
	"stap-exporter/internal/instance"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
	"stap-exporter/internal/stap"
)

// scripts is a scripts folder, looked through by the real scan.
type scripts struct {
	t   *testing.T
	dir string
}

func newScripts(t *testing.T, names ...string) *scripts {
	f := &scripts{t, t.TempDir()}
	for _, n := range names {
		f.write(n, "probe begin {}\n")
	}
	return f
}

// write replaces a file as an editor does.
func (f *scripts) write(name, text string) {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.WriteFile(path+"~", []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(path+"~", path); err != nil {
		f.t.Fatal(err)
	}
}

func (f *scripts) remove(name string) {
	f.t.Helper()
	if err := os.Remove(filepath.Join(f.dir, name)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *scripts) scan() (script.Catalogue, error) {
	return script.Scan(f.dir, instance.New(0, f.dir, nil), script.ScanOptions{AllowInsecure: true})
}

// serve starts a tree on the folder.
func (f *scripts) serve(h *host, cfg Config) *Supervisor {
	f.t.Helper()
	c, err := f.scan()
	if err != nil {
		f.t.Fatal(err)
	}
	cfg.Scripts, cfg.Refused, cfg.Scan = c.Scripts, c.Refused, f.scan
	return startTree(f.t, h, cfg)
}

func reload(t *testing.T, s *Supervisor) {
	t.Helper()
	if err := s.Reload(); err != nil {
		t.Fatal(err)
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

func TestReloadFollowsTheFolder(t *testing.T) {
	f, h := newScripts(t, "a.stp", "b.stp"), newHost()
	s := f.serve(h, Config{})
	for _, n := range []string{"a.stp", "b.stp"} {
		if a := s.Scrape([]byte(n), patient()); a.Err != nil {
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
	if a := s.Scrape([]byte("a.stp"), patient()); !errors.Is(a.Err, scrape.ErrUnknown) {
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

// exposes tells whether a metric has that label value.
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

// A removed script that comes back is started when nothing is left of the one
// before: they have the same module.
func TestScriptComesBackWhileItsPredecessorEnds(t *testing.T) {
	f, h := newScripts(t, "a.stp"), newHost()
	ending := make(chan struct{})
	var first atomic.Bool
	slow := slowEnder{h, ending, &first}
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
	s.Scrape([]byte("a.stp"), patient())
	f.remove("a.stp")
	reload(t, s)
	f.write("a.stp", "probe begin {}\n")
	reload(t, s)
	if a := s.Scrape([]byte("a.stp"), patient()); !errors.Is(a.Err, scrape.ErrUnknown) || h.count("a.stp") != 1 {
		t.Errorf("while the old one ends: %v, %d starts", a.Err, h.count("a.stp"))
	}
	// Gone and back once more makes no difference, gone alone does.
	f.remove("a.stp")
	reload(t, s)
	f.write("a.stp", "probe end {}\n")
	reload(t, s)
	close(ending)
	eventually(t, "it is served again", func() bool { return s.Scrape([]byte("a.stp"), patient()).Err == nil })
	if st := status(t, s, "a.stp"); st.Run != 1 || h.count("a.stp") != 2 {
		t.Errorf("run %d, %d starts", st.Run, h.count("a.stp"))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if left := s.Shutdown(ctx); left != nil || h.alive() != 0 {
		t.Errorf("left: %q, %d alive", left, h.alive())
	}
}

// slowEnder's first child ends once it may.
type slowEnder struct {
	*host
	may  <-chan struct{}
	used *atomic.Bool
}

func (e slowEnder) Start(s script.Script, run uint64, report func(any)) actors.Process {
	p := e.host.Start(s, run, report)
	if e.used.Swap(true) {
		return p
	}
	return lateStop{p, e.may}
}

type lateStop struct {
	actors.Process
	may <-chan struct{}
}

func (l lateStop) Stop(<-chan struct{}) { l.Process.Stop(l.may) }

// Shutdown waits for removed scripts, too.
func TestShutdownWaitsForARemovedScript(t *testing.T) {
	f, h := newScripts(t, "a.stp", "b.stp"), newHost()
	ending := make(chan struct{})
	c, _ := f.scan()
	s, err := StartWith(Config{
		Scripts:     c.Scripts,
		Scan:        f.scan,
		ReadTimeout: time.Second,
		Logger:      zap.NewNop(),
	}, slowEnder{h, ending, &atomic.Bool{}})
	if err != nil {
		t.Fatal(err)
	}
	s.Scrape([]byte("a.stp"), patient())
	f.remove("a.stp")
	reload(t, s)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	go func() {
		<-s.ending
		close(ending)
	}()
	if left := s.Shutdown(ctx); left != nil || h.alive() != 0 {
		t.Errorf("left: %q, %d alive", left, h.alive())
	}
	if err := s.Reload(); !errors.Is(err, scrape.ErrShuttingDown) {
		t.Errorf("reload after shutdown: %v", err)
	}
}

// A new version that stap refuses leaves the old one running, and says so; a
// good one follows.
func TestRefusedVersion(t *testing.T) {
	f, h := newScripts(t, "a.stp"), newHost()
	var refuse atomic.Bool
	h.onTry = func(script.Script) stap.Exit {
		if refuse.Load() {
			return stap.Exit{Code: 1, Stage: stap.StageCompile, Tail: []string{"parse error: expected x"}}
		}
		return stap.Exit{}
	}
	core, logs := observer.New(zap.WarnLevel)
	s := f.serve(h, Config{Logger: zap.New(core)})
	s.Scrape([]byte("a.stp"), patient())
	refuse.Store(true)
	f.write("a.stp", "probe {\n")
	reload(t, s)
	eventually(
		t,
		"it is refused",
		func() bool { return strings.Contains(status(t, s, "a.stp").NewVersion, "parse error") },
	)
	if a := s.Scrape([]byte("a.stp"), patient()); a.Err != nil || h.count("a.stp") != 1 {
		t.Errorf("the old version: %v, %d starts", a.Err, h.count("a.stp"))
	}
	if logs.FilterMessageSnippet("new version of a script refused").Len() != 1 ||
		logs.FilterMessage("script refused").Len() != 0 {
		t.Errorf("log: %v", logs.All())
	}
	events := s.Events()
	if last := events[len(events)-1]; last.Kind != "version-refused" || !strings.Contains(last.Reason, "parse error") {
		t.Errorf("last event: %+v", last)
	}
	reload(t, s)
	refuse.Store(false)
	f.write("a.stp", "probe begin {} // mended\n")
	reload(t, s)
	eventually(t, "the mended version runs", func() bool {
		st := status(t, s, "a.stp")
		return st.Run == 2 && st.State == scrape.Running && st.NewVersion == ""
	})
}

// A new version whose header is wrong is said once in the log: while the old
// one runs as refused, and otherwise as the script's.
func TestWrongHeaderIsSaidOnce(t *testing.T) {
	f, h := newScripts(t, "a.stp", "idle.stp"), newHost()
	core, logs := observer.New(zap.WarnLevel)
	s := f.serve(h, Config{Logger: zap.New(core)})
	s.Scrape([]byte("a.stp"), patient())
	for _, name := range []string{"a.stp", "idle.stp"} {
		f.write(name, "// stap-exporter: keepalive=banana\nprobe begin {}\n")
	}
	reload(t, s)
	eventually(t, "both are refused", func() bool {
		return status(t, s, "a.stp").NewVersion != "" && status(t, s, "idle.stp").Script.Refused != nil
	})
	running, idle := logs.FilterMessageSnippet("new version of a script refused"), logs.FilterMessage("script refused")
	if running.Len() != 1 || idle.Len() != 1 || idle.All()[0].ContextMap()["script"] != "idle.stp" {
		t.Errorf("log: %v", logs.All())
	}
}

// A change of the file ends the back-off, as does writing it again.
func TestChangeEndsBackOff(t *testing.T) {
	f, h := newScripts(t, "autostart.stp"), newHost()
	h.onStart = func(p *process) {
		if p.run <= 3 {
			go p.exit(stap.Exit{Code: 1, Stage: stap.StageCompile})
			return
		}
		p.ready()
	}
	s := f.serve(h, Config{})
	for run := uint64(1); run <= 3; run++ {
		eventually(t, "it is held off", func() bool {
			st := status(t, s, "autostart.stp")
			return st.State == scrape.BackingOff && st.Run == run
		})
		f.write("autostart.stp", "probe begin {}\n") // the same text in another file
		reload(t, s)
	}
	eventually(t, "it runs", func() bool { return status(t, s, "autostart.stp").State == scrape.Running })
}

// A folder that cannot be read changes nothing.
func TestFolderVanishes(t *testing.T) {
	f, h := newScripts(t, "a.stp"), newHost()
	s := f.serve(h, Config{})
	if err := os.Rename(f.dir, f.dir+".away"); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(); err == nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("reload: %v", err)
	}
	if a := s.Scrape([]byte("a.stp"), patient()); a.Err != nil {
		t.Errorf("a.stp: %v", a.Err)
	}
	if err := os.Rename(f.dir+".away", f.dir); err != nil {
		t.Fatal(err)
	}
	f.write("b.stp", "probe begin {}\n")
	reload(t, s)
	if a := s.Scrape([]byte("b.stp"), patient()); a.Err != nil || h.count("a.stp") != 1 {
		t.Errorf("b.stp: %v, %d starts of a.stp", a.Err, h.count("a.stp"))
	}
}

// What a script's mode and trust say counts as its file does.
func TestModeCounts(t *testing.T) {
	f, h := newScripts(t, "a.stp"), newHost()
	s := f.serve(h, Config{})
	s.Scrape([]byte("a.stp"), patient())
	if err := os.Chmod(filepath.Join(f.dir, "a.stp"), 0o700); err != nil {
		t.Fatal(err)
	}
	reload(t, s)
	eventually(t, "it runs as a program", func() bool {
		st := status(t, s, "a.stp")
		return st.Script.Executable && st.State == scrape.Running && st.Run == 2
	})
	f.write("a.stp", "# stap-exporter: keepalive=never\nprobe begin {}\n# stap-exporter: x\n")
	reload(t, s)
	eventually(t, "it is a script again, with a directive", func() bool {
		st := status(t, s, "a.stp")
		return !st.Script.Executable && st.Script.Directives.Keepalive != nil && st.State == scrape.Running
	})
	f.write("a.stp", "# stap-exporter: keepalive=1x\n")
	reload(t, s)
	eventually(
		t,
		"the wrong header is named",
		func() bool { return strings.Contains(status(t, s, "a.stp").NewVersion, "keepalive") },
	)
	if a := s.Scrape([]byte("a.stp"), patient()); a.Err != nil {
		t.Errorf("the old version: %v", a.Err)
	}
}

// A thousand scrapes and more while others come, go and change: none of them is
// lost, and every one of the others' gets an answer.
func TestNoScrapeIsLost(t *testing.T) {
	f, h := newScripts(t, "steady.stp", "changing.stp", "coming.stp"), newHost()
	s := f.serve(h, Config{})
	s.Scrape([]byte("steady.stp"), patient())
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
				if a := s.Scrape([]byte("steady.stp"), patient()); a.Err != nil {
					t.Errorf("steady.stp: %v", a.Err)
					return
				}
				steady.Add(1)
				for _, n := range []string{"changing.stp", "coming.stp"} {
					begun := time.Now()
					a := s.Scrape([]byte(n), patient())
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
	h.trials.Wait()
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

func TestOperator(t *testing.T) {
	f, h := newScripts(t, "a.stp", "autostart.stp", "wrong.stp"), newHost()
	f.write("wrong.stp", "# stap-exporter: nonsense\n")
	s := f.serve(h, Config{})
	for _, act := range []func(string) error{s.StartScript, s.StopScript, s.RestartScript} {
		if err := act("none.stp"); !errors.Is(err, scrape.ErrUnknown) {
			t.Errorf("unknown script: %v", err)
		}
	}
	if err := s.StartScript("wrong.stp"); !errors.Is(err, script.ErrInvalidHeader) {
		t.Errorf("refused script: %v", err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.StartScript("a.stp"))
	eventually(t, "a.stp runs", func() bool { return status(t, s, "a.stp").State == scrape.Running })
	for _, n := range []string{"a.stp", "autostart.stp"} {
		must(s.StopScript(n))
		eventually(t, n+" is stopped", func() bool {
			st := status(t, s, n)
			return st.State == scrape.Idle && st.Paused
		})
		if a := s.Scrape([]byte(n), patient()); !errors.Is(a.Err, scrape.ErrPaused) {
			t.Errorf("%s: %v", n, a.Err)
		}
		reload(t, s)
		must(s.RestartScript(n))
		if a := s.Scrape([]byte(n), patient()); a.Err != nil {
			t.Errorf("%s: %v", n, a.Err)
		}
	}
	must(s.StopScript("a.stp"))
	f.write("a.stp", "probe end {}\n")
	reload(t, s)
	if a := s.Scrape([]byte("a.stp"), patient()); a.Err != nil {
		t.Errorf("after a change of its file: %v", a.Err)
	}
}

// A reload that meets the shutdown starts nothing that the shutdown does not
// end.
func TestReloadMeetsShutdown(t *testing.T) {
	for i := range 30 {
		f, h := newScripts(t, "autostart.stp"), newHost()
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
			_ = s.Statuses() // a little later each time
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		if left := s.Shutdown(ctx); left != nil || h.alive() != 0 {
			t.Errorf("left: %q, %d alive", left, h.alive())
		}
		cancel()
		reloading.Wait()
	}
}
