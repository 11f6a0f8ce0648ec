package supervisor

import (
	"maps"
	"slices"
	"strings"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"stap-exporter/actors"
	"stap-exporter/internal/telemetry"
)

// catalogue is a snapshot of the script actors. It is immutable once published.
type catalogue struct {
	byName  map[string]*actors.Handle
	sorted  []*actors.Handle
	leaving []*actors.Handle // of removed scripts that may still have a child
}

// entry is a script in the root's catalogue.
type entry struct {
	scriptFile
	handle   *actors.Handle
	failures actors.Failures
	leaving  bool        // its file is gone: its actor ends, and no request finds it
	again    *scriptFile // its file came back meanwhile: spawned when that actor has stopped
}

// rootActor owns the catalogue: it spawns the script actors, restarts them when
// they fail (see strategy.go), and publishes the snapshot in which they are
// found.
type rootActor struct {
	scripts  []scriptFile // at the beginning
	cfg      *actors.Config
	publish  func(*catalogue)
	recorder *telemetry.Recorder
	log      *zap.Logger

	entries    map[string]*entry // by script name
	names      map[string]string // script name by actor id
	refused    map[string]string // files that cannot be scripts, with the reason
	generation uint64            // counts the actors that were spawned
	frozen     bool              // the published catalogue is final
}

func newRoot(cfg Config, recorder *telemetry.Recorder, actorsConfig *actors.Config) *rootActor {
	r := &rootActor{
		scripts:  readFiles(cfg.Scripts),
		cfg:      actorsConfig,
		recorder: recorder,
		log:      cfg.Logger,
		entries:  map[string]*entry{},
		names:    map[string]string{},
		refused:  map[string]string{},
	}
	for _, f := range cfg.Refused {
		r.refused[f.Name] = f.Err.Error()
	}
	return r
}

// Receive handles changes of the catalogue. Requests do not come here.
func (r *rootActor) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		r.spawnAll(ctx)
	case directoryScanned:
		if !r.frozen {
			r.apply(ctx, m)
		}
	case *actor.Terminated:
		if !r.frozen {
			r.actorStopped(ctx, m.Who)
		}
	case freeze:
		r.frozen = true
		close(m.frozen)
	}
}

// spawnAll publishes what it has spawned even if it panics, so that Shutdown
// finds it.
func (r *rootActor) spawnAll(ctx actor.Context) {
	defer r.publishSnapshot()
	for _, f := range r.scripts {
		r.spawn(ctx, f)
	}
}

// spawn starts the actor of f. One that cannot be spawned is logged, and is not
// in the catalogue.
func (r *rootActor) spawn(ctx actor.Context, f scriptFile) {
	r.generation++
	e := &entry{scriptFile: f}
	h, err := actors.Spawn(ctx, r.cfg, actors.Spec{
		Script:     f.Script,
		Version:    f.version,
		Generation: r.generation,
		Failures:   &e.failures,
	})
	if err != nil {
		r.log.Error("script refused", zap.String("script", f.Name), zap.Error(err))
		return
	}
	e.handle = h
	r.recorder.Actors.Spawned(telemetry.ScriptActor)
	r.entries[f.Name] = e
	r.names[h.ActorPID().Id] = f.Name
}

// actorStopped forgets a removed script, and serves it again if its file is
// back.
func (r *rootActor) actorStopped(ctx actor.Context, actorPID *actor.PID) {
	name := r.names[actorPID.Id]
	delete(r.names, actorPID.Id)
	e := r.entries[name]
	if e == nil {
		return
	}
	defer r.publishSnapshot()
	delete(r.entries, name)
	r.recorder.Forget(name)
	switch {
	case e.again != nil:
		r.spawn(ctx, *e.again)
	case !e.leaving:
		r.log.Error("script actor stopped unexpectedly", zap.String("script", name))
	}
}

// publishSnapshot publishes the catalogue.
func (r *rootActor) publishSnapshot() {
	c := &catalogue{byName: make(map[string]*actors.Handle, len(r.entries))}
	for _, name := range slices.SortedFunc(maps.Keys(r.entries), strings.Compare) {
		e := r.entries[name]
		if e.leaving {
			c.leaving = append(c.leaving, e.handle)
			continue
		}
		c.byName[name] = e.handle
		c.sorted = append(c.sorted, e.handle)
	}
	r.publish(c)
}
