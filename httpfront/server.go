package httpfront

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"stap-exporter/internal/scrape"
)

// Limits of a connection. A request to this server is a short header without a
// body.
const (
	requestTimeout = 5 * time.Second  // to send a whole request, and for a TLS handshake
	replyTimeout   = 30 * time.Second // to take a whole reply
	// between requests; longer than the usual scrape intervals, so that
	// Prometheus keeps its connection
	idleTimeout = 3 * time.Minute
	// of a request line and header; room for a script name of 255 bytes in
	// percent encoding, and for a browser's cookies
	maxHeaderBytes = 8 << 10
	// bodies are read and ignored, so that the connection stays usable after a
	// 405
	maxBodyBytes     = 16 << 10
	silentGrace      = 500 * time.Millisecond
	hangUpInterval   = 100 * time.Millisecond
	defaultRead      = 10 * time.Second
	defaultStart     = 5 * time.Minute
	serverHeaderName = "stap-exporter"
)

// Scripts is what the front end needs of the rest of the program. Its methods
// are called from many goroutines at once.
type Scripts interface {
	// Scrape asks for the metrics of the script called name, which is not kept
	// after return.
	// It returns before q.Deadline, give or take scheduling. Answer.Err is
	// script.ErrUnknown when there is no such script.
	Scrape(name []byte, q scrape.Query) scrape.Answer
	// Statuses lists all scripts, sorted by name. It renews no keepalive.
	Statuses() []*scrape.Status
}

// Config is what a Server is made of.
type Config struct {
	Scripts      Scripts       // required
	ReadTimeout  time.Duration // how long one read of a running script may take; 10 s when 0
	StartTimeout time.Duration // the longest that a request waits for a script; 5 min when 0
	Version      string        // shown under the list of scripts
	Logger       *zap.Logger   // silent when nil

	MaxConnections int // open at a time; DefaultMaxConnections when 0

	// TLS, logins, headers, rate limit; none of them when nil
	Web *WebConfig
	// "kernel" or "bpf": what scripts run with that leave it to the exporter;
	// may change; nil: not told
	Runtime func() string
	// looks through the living processes, and tells those of the process group
	// that leader leads; nil: not told
	OSPIDs func() func(leader int) []int
	// how clients reach this server, see ParseExternalURL; nil: as each request
	// says
	ExternalURL *url.URL

	Telemetry     http.Handler // the exporter's own metrics; nil: none
	TelemetryPath string       // where; default /metrics
	Events        func() any   // the last events, ready for JSON; nil: none

	Lifecycle       Lifecycle // what POST can do; nil: nothing
	EnableLifecycle bool      // and may
}

// Server answers HTTP requests. Its methods may be called from any goroutine.
type Server struct {
	cfg    Config
	log    *zap.Logger
	http   *fasthttp.Server
	routes map[string]route // by path; read only after New
	now    func() time.Time // time.Now, but in tests
	web    atomic.Pointer[WebConfig]

	mu        sync.Mutex
	closed    bool                     // Shutdown was called
	listeners map[*listener]struct{}   // being served
	conns     map[*clientConn]struct{} // open
	crowdedAt time.Time                // when the log was last told of refused connections

	refused atomic.Uint64 // connections over the limit
	left    atomic.Uint64 // clients that left while their request was waiting
}

// New returns a server that does not listen yet.
func New(cfg Config) *Server {
	if cfg.ReadTimeout <= 0 {
		cfg.ReadTimeout = defaultRead
	}
	if cfg.StartTimeout <= 0 {
		cfg.StartTimeout = defaultStart
	}
	if cfg.MaxConnections <= 0 {
		cfg.MaxConnections = DefaultMaxConnections()
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	s := &Server{
		cfg:       cfg,
		log:       cfg.Logger,
		now:       time.Now,
		listeners: make(map[*listener]struct{}),
		conns:     make(map[*clientConn]struct{}),
	}
	s.web.Store(cfg.Web)
	s.routes = s.newRoutes()
	s.http = &fasthttp.Server{
		Handler:                      s.handle,
		ErrorHandler:                 s.refuse,
		ConnState:                    s.trackConn,
		Name:                         serverHeaderName,
		Logger:                       connLogger{cfg.Logger},
		ReadTimeout:                  requestTimeout,
		WriteTimeout:                 replyTimeout,
		IdleTimeout:                  idleTimeout,
		ReadBufferSize:               maxHeaderBytes,
		MaxRequestBodySize:           maxBodyBytes,
		DisablePreParseMultipartForm: true,
		CloseOnShutdown:              true,
		SecureErrorLogMessage:        true,
	}
	return s
}

// Serve answers connections of ln until Shutdown, then it returns nil; requests
// in flight may still run, Shutdown waits for them.
// Several listeners may be served at once. Serve owns ln and closes it.
func (s *Server) Serve(ln net.Listener) error {
	l := newListener(ln, s.log)
	defer func() { _ = l.Close() }()

	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.listeners[l] = struct{}{}
	s.mu.Unlock()

	err := s.http.Serve(doorListener{l, s})

	s.mu.Lock()
	delete(s.listeners, l)
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return nil
	}
	if err == nil {
		err = net.ErrClosed // somebody else closed the listener
	}
	return fmt.Errorf("accept on %s: %w", ln.Addr(), err)
}

// Shutdown stops accepting and waits until the requests in flight are answered,
// at most until ctx ends; then it closes their connections and returns an error
// that wraps ctx.Err().
// Connections that are idle are closed at once, those that never sent a whole
// request after half a second. The server cannot be used again.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	for l := range s.listeners {
		_ = l.Close()
	}
	s.mu.Unlock()

	drained := make(chan struct{})
	var hangUp sync.WaitGroup
	hangUp.Go(func() { s.hangUpSilent(drained) })
	err := s.http.ShutdownWithContext(ctx)
	close(drained)
	hangUp.Wait()
	if err == nil {
		return nil
	}

	s.mu.Lock()
	n := len(s.conns)
	for c := range s.conns {
		_ = c.Conn.Close() // the socket itself: nothing is sent or waited for any more
	}
	s.mu.Unlock()
	return fmt.Errorf("wait for %d connections: %w", n, err)
}

// hangUpSilent ends the waiting of connections from which nothing comes, until
// drained is closed. fasthttp alone would give each of them its full read
// timeout.
// A read deadline reaches only a connection that is reading: one whose request
// is being answered is left alone. It is set again and again because fasthttp
// sets its own before each read.
func (s *Server) hangUpSilent(drained <-chan struct{}) {
	wait := time.NewTimer(silentGrace) // a request that is on its way still arrives
	defer wait.Stop()
	for {
		select {
		case <-drained:
			return
		case <-wait.C:
		}
		s.mu.Lock()
		for c := range s.conns {
			_ = c.Conn.SetReadDeadline(time.Unix(1, 0))
		}
		s.mu.Unlock()
		wait.Reset(hangUpInterval)
	}
}

// trackConn is fasthttp's hook for connections; it keeps the set of open ones.
// It is called for every request, too, and then takes no lock.
func (s *Server) trackConn(c net.Conn, state fasthttp.ConnState) {
	if state != fasthttp.StateNew && state != fasthttp.StateClosed {
		return
	}
	p, ok := c.(peer)
	if !ok {
		return // not one that Serve accepted
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if state == fasthttp.StateNew {
		s.conns[p.socket()] = struct{}{}
	} else {
		delete(s.conns, p.socket())
	}
}

// refuse answers what never became a request: a malformed or too large one, or
// one that did not arrive in time. fasthttp closes the connection after it.
func (s *Server) refuse(ctx *fasthttp.RequestCtx, err error) {
	ctx.Response.Reset()
	setCommonHeaders(ctx)
	s.setConfiguredHeaders(ctx)
	ctx.Response.SkipBody = ctx.IsHead()

	_, tooBig := errors.AsType[*fasthttp.ErrSmallBuffer](err)
	netErr, isNet := errors.AsType[net.Error](err)
	late := isNet && netErr.Timeout()
	p := peerOf(ctx)
	if p != nil && !late {
		p.socket().linger.Store(true)
	}
	switch {
	case tooBig && p != nil && p.openLine() >= maxHeaderBytes:
		// not even the first line came to its end
		plainError(ctx, fasthttp.StatusRequestURITooLong, "request target too long\n")
	case tooBig:
		plainError(ctx, fasthttp.StatusRequestHeaderFieldsTooLarge, "request header too large\n")
	case late && turnedAway(ctx):
		// its time is short, and on a busy machine it may be over before what
		// came is read
	case late:
		plainError(ctx, fasthttp.StatusRequestTimeout, "request did not arrive in time\n")
	case errors.Is(err, fasthttp.ErrBodyTooLarge) && !readOnly(ctx):
		refuseMethod(ctx, allowGet) // whatever the path: no endpoint takes a body of this size
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		plainError(ctx, fasthttp.StatusRequestEntityTooLarge, "request body too large\n")
	default:
		plainError(ctx, fasthttp.StatusBadRequest, "malformed request\n")
	}
}

// connLogger takes fasthttp's own messages. They tell of clients that misbehave
// or leave, so they are for debugging; an error that ends Serve is returned by
// it.
type connLogger struct{ log *zap.Logger }

// Printf implements fasthttp.Logger.
func (l connLogger) Printf(format string, args ...any) {
	if entry := l.log.Check(zap.DebugLevel, "http connection"); entry != nil {
		entry.Write(zap.String("detail", fmt.Sprintf(format, args...)))
	}
}
