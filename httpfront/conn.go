package httpfront

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"

	"stap-exporter/internal/scrape"
)

const (
	rejectTimeout = time.Second // for a connection over the limit to send its request
	lingerTimeout = time.Second // for a client to read an error reply before the close
	lingerBytes   = 256 << 10   // that the client may still send meanwhile
)

// peer is the server's view of a connection, TLS or not.
type peer interface {
	scrape.Client
	socket() *clientConn
	// lineLength returns how many bytes came since the last end of a line. Only
	// the connection's own goroutine may call it.
	lineLength() int
}

var (
	_ peer = (*clientConn)(nil)
	_ peer = (*secureConn)(nil)
)

// clientConn is an accepted connection: the socket, below TLS if there is any.
type clientConn struct {
	net.Conn
	// of a connection over the limit: the deadline for its request; else zero
	rejectBy time.Time
	// between a reply and the first byte of the next request
	idle atomic.Bool
	// since when the connection waits for a request: since it was accepted, or
	// since its last reply; answering or gaveWay
	waiting atomic.Int64
	permit  bool // held by the request; only the connection's goroutine may use it
	// before the close, give the client time to read the reply: it may send
	// more that the server does not read
	linger atomic.Bool
	line   lineCounter
}

// Values of clientConn.waiting that are not a time.
const (
	answering = 0  // the server makes or sends a reply
	gaveWay   = -1 // closed, to make room for another connection
)

// secureConn is the connection that fasthttp recognizes as TLS.
type secureConn struct {
	*tls.Conn
	below *clientConn
	line  lineCounter
}

// peerOf returns the connection of a request, nil when there is none.
func peerOf(ctx *fasthttp.RequestCtx) peer {
	switch c := ctx.Conn().(type) {
	// called for every request: a type assertion to the interface would cost
	// ten times as much
	case *clientConn:
		return c
	case *secureConn:
		return c
	}
	return nil
}

// socketOf returns the socket of a connection, nil when Serve did not accept
// it.
func socketOf(conn net.Conn) *clientConn {
	switch c := conn.(type) {
	case *clientConn:
		return c
	case *secureConn:
		return c.below
	}
	return nil
}

// clientOf returns the sender of a request, nil when it is not known.
func clientOf(ctx *fasthttp.RequestCtx) scrape.Client {
	if p := peerOf(ctx); p != nil {
		return p
	}
	return nil
}

// overLimit reports whether the request came on a connection over the limit.
func overLimit(ctx *fasthttp.RequestCtx) bool {
	c := socketOf(ctx.Conn())
	return c != nil && !c.rejectBy.IsZero()
}

// lineCounter counts bytes since the last end of a line.
type lineCounter int

func (l *lineCounter) add(p []byte) {
	if i := bytes.LastIndexByte(p, '\n'); i >= 0 {
		*l = lineCounter(len(p) - i - 1)
	} else {
		*l += lineCounter(len(p))
	}
}

func (c *clientConn) socket() *clientConn { return c }

func (c *clientConn) lineLength() int { return int(c.line) }

func (c *clientConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.line.add(p[:n])
	return n, err
}

// SetReadDeadline sets no later deadline than rejectBy on a connection over the
// limit.
func (c *clientConn) SetReadDeadline(t time.Time) error {
	if !c.rejectBy.IsZero() && t.After(c.rejectBy) {
		t = c.rejectBy
	}
	return c.Conn.SetReadDeadline(t)
}

// Close closes the connection. When linger is set it first reads for a moment:
// a socket that is closed with unread bytes sends a reset, which can overtake
// the reply (RFC 9112, section 9.6).
func (c *clientConn) Close() error {
	if c.linger.CompareAndSwap(true, false) {
		if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
			_ = c.Conn.SetReadDeadline(time.Now().Add(lingerTimeout))
			_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes)
		}
	}
	return c.Conn.Close()
}

// Gone reports whether the client has closed the connection, or its sending
// side. It does not read: bytes of a next request may wait in the socket, and
// bytes of TLS must stay there.
//
// A client that closes only its sending side looks the same as one that is
// gone. nginx and net/http treat it as gone, too.
func (c *clientConn) Gone() bool {
	socket, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	// Control, because Read fails once the deadline for sending the request is
	// over.
	gone := false
	err = raw.Control(func(fd uintptr) {
		state := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(state, 0)
		gone = err == nil && n > 0
	})
	return gone || err != nil // an error: closed by Shutdown
}

func (c *secureConn) socket() *clientConn { return c.below }

func (c *secureConn) lineLength() int { return int(c.line) }

// Gone reports what the socket below reports.
func (c *secureConn) Gone() bool { return c.below.Gone() }

func (c *secureConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.line.add(p[:n])
	return n, err
}

const httpToHTTPS = "HTTP/1.0 400 Bad Request\r\nConnection: close\r\nContent-Type: " + plainText +
	"\r\n\r\nthis port speaks https: use https:// in the address\n"

// Handshake sends a plain reply to a client that speaks HTTP without TLS, as
// net/http does.
func (c *secureConn) Handshake() error {
	err := c.Conn.Handshake()
	bad, ok := errors.AsType[tls.RecordHeaderError](err)
	if ok && bad.Conn != nil && looksLikeHTTP(bad.RecordHeader[:]) {
		_, _ = io.WriteString(bad.Conn, httpToHTTPS)
	}
	return err
}

func looksLikeHTTP(header []byte) bool {
	return slices.Contains([]string{"GET /", "HEAD ", "POST ", "PUT /", "OPTIO"}, string(header))
}
