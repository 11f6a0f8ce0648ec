package supervisor

import (
	"context"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"stap-exporter/actors"
)

// freeze makes the root publish the catalogue for the last time and leave it as
// it is. From: Shutdown. Reply: frozen is closed.
type freeze struct{ frozen chan struct{} }

// Shutdown ends all scripts and then the actors. It returns when there is no
// child any more, or with ctx. residue names the scripts that left something
// behind, with what that is.
// It may be called again, and while another call is under way: a later call
// waits for the end of the first, or for its own ctx.
// It works when the root actor has failed, too.
func (s *Supervisor) Shutdown(ctx context.Context) (residue []string) {
	if s.shutdown.CompareAndSwap(false, true) {
		s.end(ctx)
		close(s.ended)
	}
	select {
	case <-s.ended:
	case <-ctx.Done():
	}
	return s.residue()
}

func (s *Supervisor) end(ctx context.Context) {
	close(s.ending)
	m := freeze{make(chan struct{})}
	s.system.Root.Send(s.rootPID, m)
	select {
	case <-m.frozen:
	case <-s.failed: // the root has published its last catalogue
	case <-ctx.Done():
	}
	handles := s.handles()
	for _, h := range handles {
		h.Send(actors.Shutdown{})
	}
	for _, h := range handles {
		select {
		case <-h.Ended():
		case <-ctx.Done():
		}
	}
	if err := s.system.Root.StopFuture(s.rootPID).Wait(); err != nil {
		s.log.Error("actors did not stop", zap.Error(err))
	}
	s.system.Shutdown()
	s.workers.stop()
}

// residue lists what the scripts left after Shutdown.
func (s *Supervisor) residue() (list []string) {
	for _, h := range s.handles() {
		name := h.Status().Script.Name
		select {
		case <-h.Ended():
			for _, what := range h.Residue() {
				list = append(list, fmt.Sprintf("%s: %s", name, what))
			}
		default:
			list = append(list, fmt.Sprintf("%s: its processes did not end", name))
		}
	}
	return list
}

// Kill ends all child processes at once, without a TERM before. Shutdown must
// still be called, or is under way.
func (s *Supervisor) Kill() {
	for _, h := range s.handles() {
		h.Send(actors.KillChild{})
	}
}

// handles are all actors that may have a child.
func (s *Supervisor) handles() []*actors.Handle {
	c := s.scripts.Load()
	return slices.Concat(c.sorted, c.leaving)
}
