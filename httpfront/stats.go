package httpfront

// Stats are the counts of a Server.
type Stats struct {
	Connections         int    // open now
	ConnectionsLimit    int    // that may be open at a time
	RejectedConnections uint64 // because too many were open
	ClientDisconnects   uint64 // of clients whose request was waiting
}

// Stats returns the counts so far. It may be called from any goroutine.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	open := len(s.conns)
	s.mu.Unlock()
	return Stats{
		Connections:         open,
		ConnectionsLimit:    s.cfg.MaxConnections,
		RejectedConnections: s.refused.Load(),
		ClientDisconnects:   s.left.Load(),
	}
}
