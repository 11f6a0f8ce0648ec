package httpfront

import (
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
)

const (
	defaultMaxConnections = 16384 // an open connection costs about 17 KB
	// connections over the limit that are accepted at a time, to be answered
	// with a 503
	rejectSlots = 64
	// between two log lines about connections that are rejected, or cannot be
	// accepted
	shortageLogInterval = time.Minute
)

// DefaultMaxConnections returns the default limit of open connections: 16,384,
// or fewer, so that a quarter of the descriptors that the process may open are
// left for scripts.
func DefaultMaxConnections() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return defaultMaxConnections / 4
	}
	return int(max(min(limit.Cur/4*3, defaultMaxConnections+rejectSlots), rejectSlots+1) - rejectSlots)
}

// admitConn returns false when the connection must be closed, and marks it when
// it is over the limit.
//
// Connections over the limit do not wait in the kernel's queue, where a client
// would learn nothing before its own timeout. A few at a time are accepted and
// answered with a 503, see rejectOverLimit. Others are closed at once.
func (s *Server) admitConn(c *clientConn) bool {
	s.mu.Lock()
	open := len(s.conns)
	overLimit := open >= s.cfg.MaxConnections
	log := false
	if now := time.Now(); overLimit {
		c.rejectBy = now.Add(rejectTimeout)
		if log = now.Sub(s.limitLoggedAt) >= shortageLogInterval; log {
			s.limitLoggedAt = now
		}
	}
	admitted := open < s.cfg.MaxConnections+rejectSlots && !s.closed.Load()
	if admitted {
		s.conns[c] = struct{}{}
	}
	s.mu.Unlock()
	if overLimit {
		s.rejected.Add(1)
	}
	if log {
		s.log.Warn(
			"too many connections, rejecting new ones",
			zap.Int("open", open),
			zap.Int("limit", s.cfg.MaxConnections),
		)
	}
	return admitted
}

// rejectOverLimit answers a request on a connection over the limit, and returns
// false for any other. The connection ends with the reply.
func rejectOverLimit(ctx *fasthttp.RequestCtx) bool {
	if !overLimit(ctx) {
		return false
	}
	ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, "1")
	plainError(ctx, fasthttp.StatusServiceUnavailable, "too many connections are open\n")
	return true
}
