package httpfront

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"

	"stap-exporter/internal/scrape"
)

const (
	surplusTimeout = time.Second // for a connection over the limit to send its request
	lingerTimeout  = time.Second // for a client to take a refusal
	lingerBytes    = 256 << 10   // that it may still send meanwhile
)

// clientConn is a connection that was accepted: the socket, below TLS if there
// is any.
type clientConn struct {
	net.Conn
	// of a connection over the limit: when it has to have sent its request;
	// else zero
	surplusUntil time.Time
	linger       atomic.Bool // more may come that nobody reads: let the client read the reply first
	line         openLine
}

// peer is what the server asks of a connection, TLS or not.
type peer interface {
	scrape.Client
	socket() *clientConn
	// bytes that came since the last end of a line; for the connection's own
	// goroutine
	openLine() int
}

var (
	_ peer = (*clientConn)(nil)
	_ peer = (*secureConn)(nil)
)

// peerOf returns the connection of a request, nil where there is none.
func peerOf(ctx *fasthttp.RequestCtx) peer {
	switch c := ctx.Conn().(type) {
	// asked of every request: a look for the interface would cost ten times
	// as much
	case *clientConn:
		return c
	case *secureConn:
		return c
	}
	return nil
}

// clientOf is who sent a request, nil where that is not known.
func clientOf(ctx *fasthttp.RequestCtx) scrape.Client {
	if p := peerOf(ctx); p != nil {
		return p
	}
	return nil
}

// surplus tells whether the request came over a connection over the limit.
func surplus(ctx *fasthttp.RequestCtx) bool {
	p := peerOf(ctx)
	return p != nil && !p.socket().surplusUntil.IsZero()
}

// openLine counts bytes since the last end of a line.
type openLine int

func (l *openLine) saw(p []byte) {
	if i := bytes.LastIndexByte(p, '\n'); i >= 0 {
		*l = openLine(len(p) - i - 1)
	} else {
		*l += openLine(len(p))
	}
}

func (c *clientConn) socket() *clientConn { return c }

func (c *clientConn) openLine() int { return int(c.line) }

func (c *clientConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.line.saw(p[:n])
	return n, err
}

// SetReadDeadline gives a connection over the limit no more than its own time.
func (c *clientConn) SetReadDeadline(t time.Time) error {
	if !c.surplusUntil.IsZero() && t.After(c.surplusUntil) {
		t = c.surplusUntil
	}
	return c.Conn.SetReadDeadline(t)
}

// Close closes the connection. When the client may still be sending, it gets a
// moment to see the reply first: a socket that is closed with unread bytes
// sends a reset, which can overtake the reply (RFC 9112, section 9.6).
func (c *clientConn) Close() error {
	if c.linger.CompareAndSwap(true, false) {
		if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
			_ = c.Conn.SetReadDeadline(time.Now().Add(lingerTimeout))
			_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes)
		}
	}
	return c.Conn.Close()
}

// Left tells whether the client has closed the connection, or its sending side.
// That is seen without reading: bytes of a next request may be waiting, and
// those of TLS are not ours to take.
// A client that closes only its sending side cannot be told from one that has
// gone (nginx and net/http hold it for gone, too).
func (c *clientConn) Gone() bool {
	socket, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	// Control and not Read: that would fail once the deadline for sending the
	// request is over.
	left := false
	err = raw.Control(func(fd uintptr) {
		state := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(state, 0)
		left = err == nil && n > 0
	})
	return left || err != nil // an error: closed by Shutdown
}

// secureConn is what fasthttp takes for a TLS connection.
type secureConn struct {
	*tls.Conn
	below *clientConn
	line  openLine
}

func (c *secureConn) socket() *clientConn { return c.below }

func (c *secureConn) openLine() int { return int(c.line) }

// Left tells what the socket below knows.
func (c *secureConn) Gone() bool { return c.below.Gone() }

func (c *secureConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.line.saw(p[:n])
	return n, err
}
