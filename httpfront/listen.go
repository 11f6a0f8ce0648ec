package httpfront

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

// Listen opens a TCP listener for each of addrs, in their order; ":9900"
// listens on all interfaces, IPv4 and IPv6.
// When one fails, those already open are closed; the error names the address
// and says what to do.
func Listen(addrs []string) ([]net.Listener, error) {
	if len(addrs) == 0 {
		return nil, errors.New("no address to listen on: give a port with -p, or an address with --web.listen-address")
	}
	var open []net.Listener
	for _, addr := range addrs {
		var ln net.Listener
		_, port, err := net.SplitHostPort(addr)
		if err == nil && port == "" { // the standard library would take any free port
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
	advice := "give HOST:PORT or :PORT with --web.listen-address"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		advice = "choose another port with -p or --web.listen-address"
	case errors.Is(err, syscall.EACCES):
		advice = "choose a port above 1023 with -p or --web.listen-address, or run as root"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		advice = "this machine has no such address, choose another with --web.listen-address"
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err // the rest of its text repeats the address
	}
	if bad, ok := errors.AsType[*net.AddrError](err); ok {
		err = errors.New(bad.Err) // the same
	}
	return fmt.Errorf("listen on %q: %w: %s", addr, err, advice)
}

// A shortage that makes Accept fail ends by itself; it is asked again after
// these waits.
const (
	firstAcceptWait = 5 * time.Millisecond
	lastAcceptWait  = time.Second
)

// listener is a net.Listener for fasthttp, which takes every error of Accept as
// the listener's end and closes it more than once.
type listener struct {
	net.Listener
	log    *zap.Logger
	closed chan struct{}
	once   sync.Once
	warned time.Time // when the log was last told of a shortage; for the goroutine that accepts
}

func newListener(ln net.Listener, log *zap.Logger) *listener {
	return &listener{Listener: ln, log: log, closed: make(chan struct{})}
}

// Accept returns the next connection. It waits while the process or the system
// is short of descriptors or memory, and passes over a connection that its
// client has given up.
func (l *listener) Accept() (net.Conn, error) {
	for wait := firstAcceptWait; ; wait = min(2*wait, lastAcceptWait) {
		c, err := l.Listener.Accept()
		if err == nil || !passing(err) {
			return c, err
		}
		if now := time.Now(); now.Sub(l.warned) >= shortageAgain {
			l.warned = now
			l.log.Warn("cannot accept a connection, trying again", zap.Error(err))
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-l.closed:
			timer.Stop()
			return nil, net.ErrClosed
		}
	}
}

// Close closes the listener; calls after the first do nothing and return nil.
func (l *listener) Close() error {
	var err error
	l.once.Do(func() {
		close(l.closed)
		err = l.Listener.Close()
	})
	return err
}

// shortages are the errors of Accept that say nothing about the listener
// itself.
var shortages = []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED}

func passing(err error) bool {
	errno, ok := errors.AsType[syscall.Errno](err)
	return ok && slices.Contains(shortages, errno)
}
