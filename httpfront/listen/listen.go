// Package listen opens TCP listeners, and accepts connections in spite of
// shortages that pass.
package listen

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// Listen opens a TCP listener for each of addrs, in their order. ":9900"
// listens on all interfaces, IPv4 and IPv6. When one fails, Listen closes the
// others; the error names the address and a remedy.
func Listen(addrs []string) ([]net.Listener, error) {
	if len(addrs) == 0 {
		return nil, errors.New("no address to listen on: give a port with -p, or an address with --web.listen-address")
	}
	var open []net.Listener
	for _, addr := range addrs {
		var ln net.Listener
		_, port, err := net.SplitHostPort(addr)
		if err == nil && port == "" { // net.Listen would choose a free port
			err = errors.New("missing port")
		}
		if err == nil {
			ln, err = net.Listen("tcp", addr)
		}
		if err != nil {
			for _, o := range open {
				_ = o.Close()
			}
			return nil, listenError(addr, err)
		}
		open = append(open, ln)
	}
	return open, nil
}

func listenError(addr string, err error) error {
	remedy := "give HOST:PORT or :PORT with --web.listen-address"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		remedy = "choose another port with -p or --web.listen-address"
	case errors.Is(err, syscall.EACCES):
		remedy = "choose a port above 1023 with -p or --web.listen-address, or run as root"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		remedy = "this machine has no such address, choose another with --web.listen-address"
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err // the text of op repeats the address
	}
	if bad, ok := errors.AsType[*net.AddrError](err); ok {
		err = errors.New(bad.Err) // the same
	}
	return fmt.Errorf("listen on %q: %w: %s", addr, err, remedy)
}

// Accept is retried after a transient error, with growing delays between these.
const (
	firstAcceptDelay = 5 * time.Millisecond
	lastAcceptDelay  = time.Second
	logInterval      = time.Minute // between two log lines about a shortage
)

// Listener is a net.Listener for fasthttp, which ends serving at any error of
// Accept and closes the listener more than once.
type Listener struct {
	net.Listener
	log      *zap.Logger
	closed   chan struct{}
	once     sync.Once
	loggedAt time.Time // last log line about a shortage; only Accept uses it
}

// New returns a Listener that accepts from ln and logs shortages.
func New(ln net.Listener, log *zap.Logger) *Listener {
	return &Listener{Listener: ln, log: log, closed: make(chan struct{})}
}

// Accept returns the next connection. It waits while the process or the system
// is short of descriptors or memory, and skips a connection that its client has
// closed already. Only one goroutine may call it.
func (l *Listener) Accept() (net.Conn, error) {
	for delay := firstAcceptDelay; ; delay = min(2*delay, lastAcceptDelay) {
		c, err := l.Listener.Accept()
		if err == nil || !transient(err) {
			return c, err
		}
		if now := time.Now(); now.Sub(l.loggedAt) >= logInterval {
			l.loggedAt = now
			l.log.Warn("cannot accept a connection, retrying", zap.Error(err))
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-l.closed:
			timer.Stop()
			return nil, net.ErrClosed
		}
	}
}

// Close closes the listener. Calls after the first do nothing and return nil.
func (l *Listener) Close() error {
	var err error
	l.once.Do(func() {
		close(l.closed)
		err = l.Listener.Close()
	})
	return err
}

// transientErrors are errors of Accept that do not concern the listener itself.
var transientErrors = []syscall.Errno{
	syscall.EMFILE,
	syscall.ENFILE,
	syscall.ENOBUFS,
	syscall.ENOMEM,
	syscall.ECONNABORTED,
}

func transient(err error) bool {
	errno, ok := errors.AsType[syscall.Errno](err)
	return ok && slices.Contains(transientErrors, errno)
}
