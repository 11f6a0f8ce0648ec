package httpfront

import (
	"bufio"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// When all connections are taken, the one that has waited longest for a request
// is closed for a new one: silent or idle, with the first byte of a request or
// without. Those whose request is being answered stay.
func TestLongestIdleGivesWay(t *testing.T) {
	scripts, begun, release := busyScripts()
	defer release()
	const limit = 7
	s := New(Config{Scripts: scripts, MaxConnections: limit})
	addr := serve(t, s)
	connect := func() net.Conn { return dial(t, addr) }

	busy := fillBusy(t, 2, begun, connect)
	idle, readers := fill(t, 3, connect)
	silent, half := connect(), connect()
	_, _ = io.WriteString(half, "GET /x.stp HTTP/1.1\r\nHo")
	eventually(t, "all are open", func() bool { return s.open() == limit })
	// the first of the idle ones is in use again
	_, _ = io.WriteString(idle[0], simpleGet)
	if got := receive(t, readers[0], "GET"); got.code != 200 {
		t.Errorf("%d", got.code)
	}
	for i, oldest := range []net.Conn{idle[1], idle[2], silent, half, idle[0]} {
		if i < 3 {
			eventually(t, "it is idle", func() bool { return idleConns(s) == limit-2 })
		}
		fill(t, 1, connect)
		if err := oldest.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if rest, err := io.ReadAll(oldest); len(rest) > 0 || err != nil && isTimeout(err) {
			t.Errorf("connection %d: %q, %v", i, rest, err)
		}
	}
	if n := s.Stats(); n.EvictedConnections != 5 || n.RejectedConnections != 0 || n.Connections != limit {
		t.Errorf("%+v", n)
	}
	release()
	for _, c := range busy {
		if got := receive(t, bufio.NewReader(c), "GET"); got.code != 200 {
			t.Errorf("busy: %d", got.code)
		}
	}
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// idleConns returns the number of connections that wait for a request.
func idleConns(s *Server) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.waiting.Load() > 0 {
			n++
		}
	}
	return n
}

// Thousands of idle connections, more than the limit, lock nobody out and cost
// little time.
func TestIdleConnectionsLockNobodyOut(t *testing.T) {
	const limit = 2000
	s := New(Config{Scripts: serveBody("count 1\n", "x.stp"), MaxConnections: limit})
	addr := serve(t, s)
	for range 2 * limit {
		_ = dial(t, addr)
	}
	for range 100 {
		if got := get(t, addr, "GET", "/x.stp"); got.code != 200 {
			t.Fatalf("%d", got.code)
		}
	}
	if n := s.Stats(); n.RejectedConnections > 0 {
		t.Errorf("%+v", n)
	}
}

// BenchmarkEvict measures a new connection when all are idle.
func BenchmarkEvict(b *testing.B) {
	s := New(Config{})
	for range s.cfg.MaxConnections {
		s.admitConn(&clientConn{Conn: noConn{}})
	}
	for b.Loop() {
		s.admitConn(&clientConn{Conn: noConn{}})
	}
}

// noConn can be closed, and nothing else.
type noConn struct{ net.Conn }

func (noConn) Close() error { return nil }
