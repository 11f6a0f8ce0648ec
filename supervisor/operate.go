package supervisor

import (
	"stap-exporter/actors"
	"stap-exporter/internal/scrape"
)

// StartScript starts the script called name, and ends its back-off or pause. It
// returns when the message is in the actor's mailbox. The error is
// scrape.ErrUnknown, scrape.ErrShuttingDown, or why the script may not be
// started.
func (s *Supervisor) StartScript(name string) error { return s.operate(name, actors.StartNow{}, true) }

// StopScript stops the script called name and pauses it until an operator
// starts it, or its file changes. It returns as StartScript does.
func (s *Supervisor) StopScript(name string) error { return s.operate(name, actors.StopNow{}, false) }

// RestartScript stops the script called name and starts it again. It returns as
// StartScript does.
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
