package httpfront

import (
	"cmp"
	"slices"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
)

const (
	defaultMaxConnections = 16384 // an open connection costs about 17 KB
	// connections over the limit that are accepted at a time, to be answered
	// with a 503
	maxRejectSlots = 64
	// descriptors that a small limit leaves for other things
	ownDescriptors = 64
	// between two log lines about connections that are rejected, or cannot be
	// accepted
	shortageLogInterval = time.Minute
)

// DefaultMaxConnections returns the default limit of open connections: 16,384,
// or fewer, so that a quarter of the descriptors that the process may open, and
// at least ownDescriptors, are left for scripts and for the exporter itself.
func DefaultMaxConnections() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return defaultMaxConnections / 4
	}
	return maxConnections(limit.Cur)
}

func maxConnections(descriptors uint64) int {
	all := int(min(descriptors/4*3, defaultMaxConnections+maxRejectSlots))
	all = max(min(all, int(min(descriptors, 1<<30))-ownDescriptors), 2)
	return max(all-maxRejectSlots, all*2/3)
}

// admitConn returns false when the connection must be closed, and marks it when
// it is over the limit.
//
// When all connections are taken, the one that has waited longest for a request
// gives way: idle ones must not keep Prometheus out. Where none waits, the new
// one is over the limit. Such connections do not wait in the kernel's queue,
// where a client would learn nothing before its own timeout: a few at a time
// are accepted and answered with a 503, see rejectOverLimit. Others are closed
// at once.
func (s *Server) admitConn(c *clientConn) bool {
	now := time.Now()
	s.mu.Lock()
	var idle *clientConn
	if len(s.conns)-s.rejecting >= s.cfg.MaxConnections {
		idle = s.evict(now)
	}
	open := len(s.conns) - s.rejecting
	overLimit := open >= s.cfg.MaxConnections
	admitted := !s.closed.Load() && (!overLimit || s.rejecting < s.rejectSlots())
	if overLimit {
		c.rejectBy = now.Add(rejectTimeout)
	} else {
		c.waiting.Store(s.uptime())
	}
	if admitted {
		s.conns[c] = struct{}{}
	}
	if admitted && overLimit {
		s.rejecting++
	}
	log := (overLimit || idle != nil) && now.Sub(s.limitLoggedAt) >= shortageLogInterval
	if log {
		s.limitLoggedAt = now
	}
	s.mu.Unlock()

	if idle != nil {
		s.evicted.Add(1)
		_ = idle.Conn.Close() // the socket itself: sends nothing and waits for nothing
	}
	if overLimit {
		s.rejected.Add(1)
	}
	if log {
		s.log.Warn(
			"too many connections, closing idle ones or rejecting new ones",
			zap.Int("open", open),
			zap.Int("limit", s.cfg.MaxConnections),
		)
	}
	return admitted
}

// rejectSlots returns how many connections over the limit are accepted at a
// time: fewer with a small limit, where descriptors are few.
func (s *Server) rejectSlots() int {
	return min(maxRejectSlots, max(s.cfg.MaxConnections/2, 1))
}

// An idleConn is a connection that waited for a request since a time.
type idleConn struct {
	conn  *clientConn
	since int64
}

// findIdleCost bounds the passes over the connections in search of idle ones:
// to one per findIdleCost for each open connection, so that they take a small
// part of a CPU however many connections come.
const findIdleCost = 10 * time.Microsecond

// evict removes the connection that has waited longest for a request from the
// open ones and returns it, nil when there is none. s.mu must be held.
func (s *Server) evict(now time.Time) *clientConn {
	if c := s.nextIdle(); c != nil {
		return c
	}
	if now.Sub(s.idleFoundAt) < time.Duration(len(s.conns))*findIdleCost {
		return nil
	}
	s.idleFoundAt = now
	for c := range s.conns {
		if since := c.waiting.Load(); since > 0 {
			s.longestIdle = append(s.longestIdle, idleConn{c, since})
		}
	}
	slices.SortFunc(s.longestIdle, func(a, b idleConn) int { return cmp.Compare(b.since, a.since) })
	return s.nextIdle()
}

// nextIdle returns the first of longestIdle that still waits. One that waits
// since the same time has waited longer than any that is not in the list.
func (s *Server) nextIdle() *clientConn {
	for n := len(s.longestIdle) - 1; n >= 0; n-- {
		c := s.longestIdle[n]
		s.longestIdle[n] = idleConn{}
		s.longestIdle = s.longestIdle[:n]
		if _, open := s.conns[c.conn]; open && c.conn.waiting.CompareAndSwap(c.since, gaveWay) {
			delete(s.conns, c.conn)
			return c.conn
		}
	}
	return nil
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
