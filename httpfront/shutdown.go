package httpfront

import (
	"context"
	"fmt"
	"time"
)

// Shutdown stops accepting and waits until the requests in flight are answered,
// at most until ctx ends. Then it closes their connections and returns an error
// that wraps ctx.Err().
//
// Idle connections are closed at once, those that never sent a whole request
// after half a second. The server cannot be used again; further calls of
// Shutdown do no harm.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if !s.closed.Swap(true) {
		close(s.stopping)
	}
	for l := range s.listeners {
		_ = l.Close()
	}
	s.mu.Unlock()

	interval := time.NewTicker(silentInterval)
	defer interval.Stop()
	begin := time.Now()
	for s.closeSilent(time.Since(begin) >= silentGrace) > 0 {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %d connections: %w", s.closeAll(), ctx.Err())
		case <-s.ended:
		case <-interval.C:
		}
	}
	return nil
}

// closeSilent ends the reads of idle connections, or of all. It returns the
// number of open connections.
//
// A read deadline affects only a connection that is reading, not one whose
// request is being answered. Shutdown sets it repeatedly, because fasthttp sets
// its own before each read.
func (s *Server) closeSilent(all bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if all || c.idle.Load() {
			_ = c.Conn.SetReadDeadline(time.Unix(1, 0))
		}
	}
	return len(s.conns)
}

// closeAll closes all connections and returns their number.
func (s *Server) closeAll() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Conn.Close() // the socket itself: sends nothing and waits for nothing
	}
	return len(s.conns)
}
