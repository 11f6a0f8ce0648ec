package supervisor

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"stap-exporter/actors"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
	"stap-exporter/internal/telemetry"
)

// Reload looks through the scripts folder and lets the actors follow: a new
// script is served, a removed one ended, a changed one replaced; the others do
// not notice. When it returns, requests find the new scripts and no removed
// one; ends and replacements may still be under way.
// When the folder cannot be read, the error says why, and everything stays as
// it is.
func (s *Supervisor) Reload() error {
	s.scanning.Lock() // what is scanned later is applied later
	defer s.scanning.Unlock()
	if s.scan == nil {
		return errors.New("reload scripts: no folder to look through")
	}
	c, err := s.scan()
	if err != nil {
		return fmt.Errorf("reload scripts: %w", err)
	}
	m := catalogueScanned{scripts: look(c.Scripts), refused: c.Refused, applied: make(chan struct{})}
	s.system.Root.Send(s.rootPID, m)
	select {
	case <-m.applied:
		return nil
	case <-s.ending:
		return fmt.Errorf("reload scripts: %w", scrape.ErrShuttingDown)
	}
}

// catalogueScanned says what is in the scripts folder. From: Reload.
type catalogueScanned struct {
	scripts []found // sorted by name
	refused []script.Refusal
	applied chan struct{} // closed when the snapshot is of it
}

// entry is a script in the root's catalogue.
type entry struct {
	found
	handle  *actors.Handle
	leaving bool   // its file is gone: its actor is ending, and nobody finds it
	again   *found // its file came back meanwhile: spawned when that actor has stopped
}

// gate keeps the root from changing the catalogue once Shutdown has looked at
// it.
type gate struct {
	sync.Mutex
	closed bool
}

// spawn starts the actor of f. One that cannot be spawned is logged, and is not
// in the catalogue.
func (r *rootActor) spawn(ctx actor.Context, f found) {
	r.generation++
	h, err := actors.Spawn(ctx, r.cfg, f.Script, f.version, r.generation)
	if err != nil {
		r.log.Error("script refused", zap.String("script", f.Name), zap.Error(err))
		return
	}
	r.recorder.Actors.Spawned(telemetry.ScriptActor)
	r.entries[f.Name] = &entry{found: f, handle: h}
	r.names[h.ActorPID().Id] = f.Name
}

// scanned lets the actors follow the folder. The snapshot is swapped before an
// actor is told that it is removed.
func (r *rootActor) scanned(ctx actor.Context, m catalogueScanned) {
	var added, changed, removed []string
	var gone []*entry
	defer func() {
		r.publish(r.snapshot())
		for _, e := range gone {
			e.handle.Remove()
		}
		close(m.applied)
	}()
	there := make(map[string]bool, len(m.scripts))
	for _, f := range m.scripts {
		there[f.Name] = true
		e := r.entries[f.Name]
		switch {
		case e == nil:
			added = append(added, f.Name)
			r.spawn(ctx, f)
		case e.leaving:
			if e.again == nil {
				added = append(added, f.Name)
			}
			e.again = &f
		case e.version != f.version || e.stamp != f.stamp:
			changed = append(changed, f.Name)
			e.found = f
			// its events say so if it is refused
			e.handle.Send(actors.ReplaceScript{Script: f.Script, Version: f.version})
			continue
		default:
			continue
		}
		if f.Refused != nil {
			r.log.Warn("script refused", zap.String("script", f.Name), zap.Error(f.Refused))
		}
	}
	for name, e := range r.entries {
		switch {
		case there[name]:
		case e.leaving:
			e.again = nil
		default:
			removed = append(removed, name)
			gone = append(gone, e)
			e.leaving = true
		}
	}
	r.refusals(m.refused)
	if len(added)+len(changed)+len(removed) > 0 {
		slices.Sort(removed)
		r.log.Info(
			"script directory changed",
			zap.Strings("added", added),
			zap.Strings("changed", changed),
			zap.Strings("removed", removed),
			zap.Int("scripts", len(m.scripts)),
		)
	}
}

// refusals logs the files that can be no scripts, each once for each reason.
func (r *rootActor) refusals(list []script.Refusal) {
	now := make(map[string]string, len(list))
	for _, f := range list {
		now[f.Name] = f.Err.Error()
		if r.refused[f.Name] != now[f.Name] {
			r.log.Warn("script refused", zap.String("script", f.Name), zap.Error(f.Err))
		}
	}
	r.refused = now
}

// stopped forgets a removed script whose actor has stopped, and lets it in
// again if its file is back.
func (r *rootActor) stopped(ctx actor.Context, actorPID *actor.PID) {
	name := r.names[actorPID.Id]
	delete(r.names, actorPID.Id)
	e := r.entries[name]
	if e == nil {
		return
	}
	delete(r.entries, name)
	r.recorder.Forget(name)
	switch {
	case e.again != nil:
		r.spawn(ctx, *e.again)
	case !e.leaving:
		r.log.Error("script actor stopped by itself", zap.String("script", name))
	}
	r.publish(r.snapshot())
}

func (r *rootActor) snapshot() *catalogue {
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
	return c
}

// StartScript starts the script called name, whatever stopped it or holds it
// off. It returns when the script's actor is told. The error matches
// script.ErrUnknown, or says why it may not be started.
func (s *Supervisor) StartScript(name string) error { return s.operate(name, actors.StartNow{}, true) }

// StopScript stops the script, and nothing starts it again but StartScript,
// RestartScript, another version of its file or another start of the exporter:
// no request, and no autostart. It returns when the script's actor is told.
func (s *Supervisor) StopScript(name string) error { return s.operate(name, actors.StopNow{}, false) }

// RestartScript stops the script, and starts it when nothing is left of the run
// before, from its file as it is then. It returns when the script's actor is
// told.
func (s *Supervisor) RestartScript(name string) error {
	return s.operate(name, actors.RestartNow{}, true)
}

func (s *Supervisor) operate(name string, message any, starts bool) error {
	h := s.scripts.Load().byName[name]
	if h == nil {
		return scrape.ErrUnknown
	}
	switch st := h.Status(); {
	case st.State == scrape.Stopped:
		return scrape.ErrShuttingDown
	case starts && st.Script.Refused != nil:
		return st.Script.Refused
	}
	h.Send(message)
	return nil
}
