package supervisor

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"

	"stap-exporter/actors"
	"stap-exporter/internal/proc"
	"stap-exporter/internal/runner"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
	"stap-exporter/internal/telemetry"
)

// Config is what a Supervisor needs.
type Config struct {
	Scripts []script.Script // sorted by name
	// Refused are the files that cannot be scripts; the log has named them.
	Refused []script.Refusal
	// Scan scans the script directory again, for Reload; nil: it cannot.
	Scan        func() (script.Catalogue, error)
	Host        *runner.Host  // starts the scripts' processes
	Keepalive   time.Duration // 0: on-demand scripts run for ever
	ReadTimeout time.Duration
	MaxWaiting  int          // how many requests may wait for one script; 1,024 if 0
	Clock       actors.Clock // nil: the system's
	Version     string       // for build_info
	Logger      *zap.Logger
}

// Supervisor runs the actor tree of one exporter. Its methods may be called
// from any goroutine.
type Supervisor struct {
	system   *actor.ActorSystem
	rootPID  *actor.PID
	scripts  atomic.Pointer[catalogue]
	log      *zap.Logger
	recorder *telemetry.Recorder
	workers  *workers

	fatal  chan error
	failed chan struct{} // closed when the root has failed

	scan     func() (script.Catalogue, error)
	scanning sync.Mutex // the scan that begins later is applied later

	ending   chan struct{} // closed by the first Shutdown
	ended    chan struct{} // closed at its end
	shutdown atomic.Bool   // there was one
}

// Start builds the tree: autostart scripts are being started when it returns.
func Start(cfg Config) (*Supervisor, error) {
	return StartWith(cfg, actors.OnHost(cfg.Host))
}

// StartWith is Start with a starter that runs the scripts instead of cfg.Host:
// for tests and benchmarks.
func StartWith(cfg Config, starter actors.Starter) (*Supervisor, error) {
	if cfg.MaxWaiting <= 0 {
		cfg.MaxWaiting = 1024
	}
	if cfg.Clock == nil {
		cfg.Clock = actors.SystemClock{}
	}
	s := &Supervisor{
		log:     cfg.Logger,
		workers: newWorkers(),
		fatal:   make(chan error, 1),
		failed:  make(chan struct{}),
		scan:    cfg.Scan,
		ending:  make(chan struct{}),
		ended:   make(chan struct{}),
	}
	s.scripts.Store(&catalogue{})
	s.recorder = telemetry.New(telemetry.Config{
		Version:  cfg.Version,
		Statuses: s.Statuses,
		Usage:    usage,
		Logger:   cfg.Logger,
	})
	s.system = newSystem(cfg.Logger)
	countDeadLetters(s.system, s.recorder.Actors)

	published := make(chan struct{})
	var first sync.Once
	root := newRoot(cfg, s.recorder, &actors.Config{
		Starter:     starter,
		Keepalive:   cfg.Keepalive,
		ReadTimeout: cfg.ReadTimeout,
		MaxWaiting:  cfg.MaxWaiting,
		Clock:       cfg.Clock,
		Listener:    func(sc script.Script) func(scrape.Event) { return s.recorder.Listener(sc.Name) },
		Decorate:    func(a actor.Actor) actor.Actor { return &timedActor{next: a, metrics: s.recorder.Actors} },
		Go:          s.workers.run,
	})
	root.publish = func(c *catalogue) {
		s.scripts.Store(c)
		first.Do(func() { close(published) })
	}
	props := actor.PropsFromProducer(
		func() actor.Actor { return root },
		actor.WithGuardian(&neverRestart{
			root:   root,
			failed: s.failed,
			fatal:  s.fatal,
			log:    cfg.Logger,
		}),
	)
	var err error
	if s.rootPID, err = s.system.Root.SpawnNamed(props, "root"); err != nil {
		s.workers.stop()
		return nil, fmt.Errorf("spawn root actor: %w", err)
	}
	s.recorder.Actors.Spawned(telemetry.RootActor)
	<-published
	return s, nil
}

// newSystem returns an actor system that logs its warnings and errors alone.
func newSystem(log *zap.Logger) *actor.ActorSystem {
	library := slog.New(zapslog.NewHandler(log.WithOptions(zap.IncreaseLevel(zap.WarnLevel)).Core()))
	return actor.NewActorSystem(
		actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return library }),
	)
}

// usage adds up what the processes of each child use. A child leads its process
// group.
func usage() func(osPID int) (telemetry.Usage, bool) {
	groups := proc.GroupUsage()
	return func(osPID int) (telemetry.Usage, bool) {
		u, ok := groups[osPID]
		return telemetry.Usage{CPU: u.CPU, Resident: u.Resident}, ok
	}
}

// Fatal delivers one error if the root actor fails. The caller then shuts down.
func (s *Supervisor) Fatal() <-chan error { return s.fatal }

// Gatherer gives the exporter's own metrics.
func (s *Supervisor) Gatherer() prometheus.Gatherer { return s.recorder.Gatherer() }

// Events returns the last events, the oldest first: at most 1,000.
func (s *Supervisor) Events() []telemetry.Event { return s.recorder.Events() }

// Scrape asks the actor of the script called name for its metrics and waits for
// the answer, no longer than until q.Deadline. It does not keep name.
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
