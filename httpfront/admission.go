package httpfront

import (
	"crypto/tls"
	"net"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
)

const (
	mostConnections = 16384 // open ones cost about 17 KB each
	surplusPlaces   = 64    // connections over the limit that are told so
	// between two lines in the log about connections that were refused, or
	// cannot be accepted
	shortageAgain = time.Minute
)

// DefaultMaxConnections is how many connections may be open at a time: 16,384,
// and no more than leave a quarter of the descriptors that the process may
// have, since scripts need some, too.
func DefaultMaxConnections() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return mostConnections / 4
	}
	return int(max(min(limit.Cur/4*3, mostConnections+surplusPlaces), surplusPlaces+1) - surplusPlaces)
}

// doorListener lets connections in, as many as may be open, and wraps them in
// TLS while the web config says so.
//
// The ones over the limit are not left waiting outside, where a client would
// learn nothing before its own timeout: a few at a time are let in to be told
// so, see Server.turnedAway, and the others are closed at once.
type doorListener struct {
	net.Listener
	server *Server
}

// Accept returns before a TLS handshake, which is the business of the
// connection's own goroutine.
func (l doorListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &clientConn{Conn: conn}
		if l.server.letIn(c) {
			return l.server.secured(c), nil
		}
		_ = conn.Close()
	}
}

// letIn decides about a connection, and whether it is one over the limit.
func (s *Server) letIn(c *clientConn) bool {
	s.mu.Lock()
	open := len(s.conns)
	crowded := open >= s.cfg.MaxConnections
	log := false
	if now := time.Now(); crowded {
		c.surplusUntil = now.Add(surplusTimeout)
		if log = now.Sub(s.crowdedAt) >= shortageAgain; log {
			s.crowdedAt = now
		}
	}
	s.mu.Unlock()
	if crowded {
		s.refused.Add(1)
	}
	if log {
		s.log.Warn(
			"too many connections, new ones are refused",
			zap.Int("open", open),
			zap.Int("limit", s.cfg.MaxConnections),
		)
	}
	return open < s.cfg.MaxConnections+surplusPlaces
}

// secured puts TLS over a connection while the web config says so.
func (s *Server) secured(c *clientConn) net.Conn {
	w := s.web.Load()
	if w == nil || w.tls == nil {
		return c
	}
	return &secureConn{Conn: tls.Server(c, w.tls.server), below: c}
}

// turnedAway answers a request that came over a connection over the limit; the
// connection ends with the reply.
func turnedAway(ctx *fasthttp.RequestCtx) bool {
	if !surplus(ctx) {
		return false
	}
	ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, "1")
	plainError(ctx, fasthttp.StatusServiceUnavailable, "too many connections are open\n")
	return true
}
