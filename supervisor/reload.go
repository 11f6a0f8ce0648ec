package supervisor

import (
	"errors"
	"fmt"
	"slices"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"stap-exporter/actors"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
)

// directoryScanned reports what is in the script directory.
// From: Reload. Reply: applied is closed.
type directoryScanned struct {
	scripts []scriptFile // sorted by name
	refused []script.Refusal
	applied chan struct{} // closed when the published catalogue follows it
}

// Reload scans the script directory and lets the actors follow: a new script is
// served, a removed one ends, a changed one is replaced; the others do not
// notice. When it returns, requests find the new scripts and no removed one.
// Ends and replacements may still be under way.
// If the directory cannot be read, the error is why, and nothing changes.
func (s *Supervisor) Reload() error {
	s.scanning.Lock()
	defer s.scanning.Unlock()
	if s.scan == nil {
		return errors.New("reload scripts: no directory to scan")
	}
	c, err := s.scan()
	if err != nil {
		return fmt.Errorf("reload scripts: %w", err)
	}
	m := directoryScanned{
		scripts: readFiles(c.Scripts),
		refused: c.Refused,
		applied: make(chan struct{}),
	}
	s.system.Root.Send(s.rootPID, m)
	select {
	case <-m.applied:
		return nil
	case <-s.failed:
		return errors.New("reload scripts: root actor has failed")
	case <-s.ending:
		return fmt.Errorf("reload scripts: %w", scrape.ErrShuttingDown)
	}
}

// changes are the names of the scripts that a scan found otherwise than the one
// before.
type changes struct{ added, changed, removed []string }

// apply lets the actors follow the directory. The snapshot is published before
// the actor of a removed script gets to know.
func (r *rootActor) apply(ctx actor.Context, m directoryScanned) {
	var c changes
	var gone []*entry
	defer func() {
		r.publishSnapshot()
		for _, e := range gone {
			e.handle.Remove()
		}
		close(m.applied)
	}()
	exists := make(map[string]bool, len(m.scripts))
	for _, f := range m.scripts {
		exists[f.Name] = true
		r.follow(ctx, f, &c)
	}
	for name, e := range r.entries {
		switch {
		case exists[name]:
		case e.leaving:
			e.again = nil
		default:
			c.removed = append(c.removed, name)
			gone = append(gone, e)
			e.leaving = true
		}
	}
	r.logRefusals(m.refused)
	if len(c.added)+len(c.changed)+len(c.removed) > 0 {
		slices.Sort(c.removed)
		r.log.Info(
			"script directory changed",
			zap.Strings("added", c.added),
			zap.Strings("changed", c.changed),
			zap.Strings("removed", c.removed),
			zap.Int("scripts", len(m.scripts)),
		)
	}
}

// follow spawns the actor of a new script, or sends it the new version.
func (r *rootActor) follow(ctx actor.Context, f scriptFile, c *changes) {
	e := r.entries[f.Name]
	switch {
	case e == nil:
		c.added = append(c.added, f.Name)
		r.spawn(ctx, f)
	case e.leaving:
		if e.again == nil {
			c.added = append(c.added, f.Name)
		}
		e.again = &f
	case e.version != f.version || e.stamp != f.stamp:
		c.changed = append(c.changed, f.Name)
		e.scriptFile = f
		e.handle.Send(actors.ReplaceScript{Script: f.Script, Version: f.version})
		return // the actor's events include a refusal
	default:
		return
	}
	if f.Refused != nil {
		r.log.Warn("script refused", zap.String("script", f.Name), zap.Error(f.Refused))
	}
}

// logRefusals logs the files that cannot be scripts, each once for each reason.
func (r *rootActor) logRefusals(list []script.Refusal) {
	now := make(map[string]string, len(list))
	for _, f := range list {
		now[f.Name] = f.Err.Error()
		if r.refused[f.Name] != now[f.Name] {
			r.log.Warn("script refused", zap.String("script", f.Name), zap.Error(f.Err))
		}
	}
	r.refused = now
}
