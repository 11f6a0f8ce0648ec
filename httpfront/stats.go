package httpfront

// Stats are the counters of a Server.
type Stats struct {
	Connections         int    // open now
	ConnectionsLimit    int    // of open connections
	RejectedConnections uint64 // because too many were open
	EvictedConnections  uint64 // idle ones, closed to make room for others
	MalformedRequests   uint64 // 400
	RejectedLogins      uint64 // 401
	RateLimitedRequests uint64 // 429
	ClientDisconnects   uint64 // while the client's request waited
}

// Stats returns the current counters. It may be called from any goroutine.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	open := len(s.conns)
	s.mu.Unlock()
	return Stats{
		Connections:         open,
		ConnectionsLimit:    s.cfg.MaxConnections,
		RejectedConnections: s.rejected.Load(),
		EvictedConnections:  s.evicted.Load(),
		MalformedRequests:   s.malformed.count.Load(),
		RejectedLogins:      s.loginsRejected.count.Load(),
		RateLimitedRequests: s.rateLimited.count.Load(),
		ClientDisconnects:   s.disconnects.Load(),
	}
}
