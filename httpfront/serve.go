package httpfront

import (
	"crypto/tls"
	"fmt"
	"net"
	"runtime/debug"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"stap-exporter/httpfront/listen"
)

// Serve answers connections of ln until Shutdown, then it returns nil. Requests
// in flight may still run; Shutdown waits for them.
//
// Several listeners may be served at once. Serve owns ln and closes it.
func (s *Server) Serve(ln net.Listener) error {
	l := listen.New(ln, s.log)
	defer func() { _ = l.Close() }()

	s.mu.Lock()
	if s.closed.Load() {
		s.mu.Unlock()
		return nil
	}
	s.listeners[l] = struct{}{}
	s.mu.Unlock()

	err := s.acceptAll(l)

	s.mu.Lock()
	delete(s.listeners, l)
	s.mu.Unlock()
	if s.closed.Load() {
		return nil
	}
	return fmt.Errorf("accept on %s: %w", ln.Addr(), err)
}

// acceptAll serves each connection in a goroutine of its own, until Accept
// fails.
//
// fasthttp.Server.Serve would do the same with goroutines in which a panic of
// the TLS handshake, a read or the request parser ends the process.
func (s *Server) acceptAll(l *listen.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		if c := (&clientConn{Conn: conn}); s.admitConn(c) {
			go s.serveConn(c)
		} else {
			_ = conn.Close()
		}
	}
}

// serveConn serves c until it is closed. A panic ends this connection alone.
func (s *Server) serveConn(c *clientConn) {
	defer s.forget(c)
	defer func() {
		if p := recover(); p != nil {
			// fasthttp keeps its entry of c, less than 1 KB
			s.logConnPanic(p, c)
			_ = c.Conn.Close()
		}
	}()
	err := s.http.ServeConn(s.withTLS(c))
	if entry := s.log.Check(zap.DebugLevel, "http connection"); entry != nil && err != nil {
		entry.Write(zap.Stringer("client", c.RemoteAddr()), zap.Error(err))
	}
}

// withTLS wraps a connection in TLS while the web config enables it.
func (s *Server) withTLS(c *clientConn) net.Conn {
	cfg := s.web.Load().TLS()
	if cfg == nil {
		return c
	}
	return &secureConn{Conn: tls.Server(c, cfg), below: c}
}

// logConnPanic logs a panic with its stack. The deferred function that
// recovered the panic must call it.
func (s *Server) logConnPanic(p any, c *clientConn) {
	s.log.Error(
		"panic in an HTTP connection",
		zap.Any("panic", p),
		zap.Stringer("client", c.RemoteAddr()),
		zap.ByteString("stack", debug.Stack()),
	)
}

// forget removes a connection that has ended.
func (s *Server) forget(c *clientConn) {
	s.releasePermit(c)
	s.mu.Lock()
	delete(s.conns, c)
	if !c.rejectBy.IsZero() {
		s.rejecting--
	}
	s.mu.Unlock()
	if s.closed.Load() {
		select {
		case s.ended <- struct{}{}:
		default:
		}
	}
}

// trackConn is fasthttp's hook for the state of a connection. fasthttp calls it
// twice for every request.
func (s *Server) trackConn(conn net.Conn, state fasthttp.ConnState) {
	c := socketOf(conn)
	if c == nil {
		return
	}
	c.idle.Store(state == fasthttp.StateIdle)
	if state == fasthttp.StateIdle {
		s.releasePermit(c)
	}
	if state == fasthttp.StateIdle && c.rejectBy.IsZero() {
		c.waiting.CompareAndSwap(answering, s.uptime())
	}
}

// uptime returns the time since New, at least 1 ns. It does not follow the
// system's clock when that is set.
func (s *Server) uptime() int64 { return max(int64(time.Since(s.begin)), 1) }
