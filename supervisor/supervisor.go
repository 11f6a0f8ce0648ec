package supervisor

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"

	"stap-exporter/actors"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
	"stap-exporter/internal/stap"
	"stap-exporter/internal/telemetry"
)

// Config is what a Supervisor needs to know.
type Config struct {
	Scripts []script.Script // sorted by name
	// files that are no scripts and that the log has named
	Refused []script.Refusal
	// looks through the scripts folder again, for Reload; nil: it cannot
	Scan        func() (script.Catalogue, error)
	Host        *stap.Host    // starts the scripts' processes
	Keepalive   time.Duration // 0: on-demand scripts run for ever
	ReadTimeout time.Duration
	MaxWaiting  int          // how many requests may wait for one script; 1,024 when 0
	Clock       actors.Clock // nil: the system's
	Version     string       // for build_info
	Logger      *zap.Logger
}

// Supervisor runs the actor tree of one exporter.
type Supervisor struct {
	system   *actor.ActorSystem
	rootPID  *actor.PID
	fatal    chan error
	scripts  atomic.Pointer[catalogue]
	log      *zap.Logger
	recorder *telemetry.Recorder
	workers  *workers

	scan     func() (script.Catalogue, error)
	scanning sync.Mutex
	gate     gate
	ending   chan struct{} // closed by Shutdown
}

// Gatherer gives the exporter's own metrics.
func (s *Supervisor) Gatherer() prometheus.Gatherer { return s.recorder.Gatherer() }

// Events returns the last events, the oldest first: at most 1,000.
func (s *Supervisor) Events() []telemetry.Event { return s.recorder.Events() }

// catalogue is a snapshot of the script actors. Nobody changes it once it is
// published.
type catalogue struct {
	byName  map[string]*actors.Handle
	sorted  []*actors.Handle
	leaving []*actors.Handle // of removed scripts of which something may be left
}

// Start builds the tree: autostart scripts are being started when it returns.
func Start(cfg Config) (*Supervisor, error) {
	return StartWith(cfg, actors.OnHost(cfg.Host))
}

// StartWith is Start with something else than cfg.Host that runs the scripts:
// for tests and benchmarks.
func StartWith(cfg Config, starter actors.Starter) (*Supervisor, error) {
	if cfg.MaxWaiting <= 0 {
		cfg.MaxWaiting = 1024
	}
	if cfg.Clock == nil {
		cfg.Clock = actors.SystemClock{}
	}
	s := &Supervisor{
		fatal:  make(chan error, 1),
		log:    cfg.Logger,
		scan:   cfg.Scan,
		ending: make(chan struct{}),
	}
	s.scripts.Store(&catalogue{})
	s.recorder = telemetry.New(telemetry.Config{
		Version:  cfg.Version,
		Statuses: s.Statuses,
		Usage:    usage,
		Logger:   cfg.Logger,
	})
	// protoactor-go's own words are of interest only when something is wrong
	// with it.
	library := slog.New(zapslog.NewHandler(cfg.Logger.WithOptions(zap.IncreaseLevel(zap.WarnLevel)).Core()))
	s.system = actor.NewActorSystem(
		actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return library }),
	)
	countDeadLetters(s.system, s.recorder.Actors)
	s.recorder.Actors.Spawned(telemetry.RootActor)

	s.workers = newWorkers()
	published := make(chan struct{})
	var first sync.Once
	root := &rootActor{
		scripts:  look(cfg.Scripts),
		log:      cfg.Logger,
		recorder: s.recorder,
		gate:     &s.gate,
		entries:  map[string]*entry{},
		names:    map[string]string{},
		refused:  map[string]string{},
		cfg: &actors.Config{
			Starter:     starter,
			Keepalive:   cfg.Keepalive,
			ReadTimeout: cfg.ReadTimeout,
			MaxWaiting:  cfg.MaxWaiting,
			Clock:       cfg.Clock,
			Listener:    func(sc script.Script) func(scrape.Event) { return s.recorder.Listener(sc.Name) },
			Decorate:    func(a actor.Actor) actor.Actor { return &timedActor{next: a, metrics: s.recorder.Actors} },
			Go:          s.workers.run,
		},
		publish: func(c *catalogue) {
			s.scripts.Store(c)
			first.Do(func() { close(published) })
		},
	}
	for _, f := range cfg.Refused {
		root.refused[f.Name] = f.Err.Error()
	}
	props := actor.PropsFromProducer(
		func() actor.Actor { return root },
		actor.WithSupervisor(
			restartAlways{s.recorder.Actors},
		),
		actor.WithGuardian(&neverRestart{fatal: s.fatal, metrics: s.recorder.Actors, log: cfg.Logger}),
	)
	var err error
	if s.rootPID, err = s.system.Root.SpawnNamed(props, "root"); err != nil {
		s.workers.stop()
		return nil, fmt.Errorf("spawn root actor: %w", err)
	}
	<-published
	return s, nil
}

// Fatal delivers an error when the root actor has failed: no more than one. The
// caller then shuts down.
func (s *Supervisor) Fatal() <-chan error { return s.fatal }

// Scrape asks the actor of the script called name for its metrics and waits for
// the answer, at the longest until q.Deadline. name is not kept.
func (s *Supervisor) Scrape(name []byte, q scrape.Query) scrape.Answer {
	h := s.scripts.Load().byName[string(name)]
	if h == nil {
		return scrape.Answer{Err: scrape.ErrUnknown}
	}
	return h.Ask(q)
}

// Statuses lists all scripts, sorted by name.
func (s *Supervisor) Statuses() []*scrape.Status {
	handles := s.scripts.Load().sorted
	list := make([]*scrape.Status, len(handles))
	for i, h := range handles {
		list[i] = h.Status()
	}
	return list
}

// Shutdown ends every script and then the actors. It returns when nothing is
// left of any child, or with ctx; left names the scripts of which something is
// left, and what.
// It does not go through the root actor, which may have failed.
func (s *Supervisor) Shutdown(ctx context.Context) (left []string) {
	s.gate.Lock()
	s.gate.closed = true // from here on the catalogue stays as it is
	s.gate.Unlock()
	close(s.ending)
	handles := s.handles()
	for _, h := range handles {
		h.Send(actors.Shutdown{})
	}
	for _, h := range handles {
		name := h.Status().Script.Name
		select {
		case <-h.Ended():
		case <-ctx.Done():
		}
		select {
		case <-h.Ended():
			for _, what := range h.Residue() {
				left = append(left, fmt.Sprintf("%s: %s", name, what))
			}
		default:
			left = append(left, fmt.Sprintf("%s: its processes did not end", name))
		}
	}
	if err := s.system.Root.StopFuture(s.rootPID).Wait(); err != nil {
		s.log.Error("actors did not stop", zap.Error(err))
	}
	s.system.Shutdown()
	s.workers.stop()
	return left
}

// Kill ends all child processes at once, without asking them. Shutdown still
// has to be called, or is under way.
func (s *Supervisor) Kill() {
	for _, h := range s.handles() {
		h.Send(actors.KillChild{})
	}
}

// usage adds up what the processes of each child use. A child leads its process
// group.
func usage() func(osPID int) (telemetry.Usage, bool) {
	groups := stap.GroupUsage()
	return func(osPID int) (telemetry.Usage, bool) {
		u, ok := groups[osPID]
		return telemetry.Usage{CPU: u.CPU, Resident: u.Resident}, ok
	}
}

// handles are all actors of which something may be left.
func (s *Supervisor) handles() []*actors.Handle {
	c := s.scripts.Load()
	return slices.Concat(c.sorted, c.leaving)
}
