package httpfront

import (
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"stap-exporter/httpfront/listen"
	"stap-exporter/httpfront/webconfig"
	"stap-exporter/internal/scrape"
)

// Limits of a connection. A request to this server is a short header without a
// body.
const (
	requestTimeout = 5 * time.Second  // to receive a whole request, and for a TLS handshake
	replyTimeout   = 30 * time.Second // to send a whole reply
	// between requests; longer than the usual scrape intervals, so that
	// Prometheus keeps its connection
	idleTimeout = 3 * time.Minute
	// of a request line and header; room for a script name of 255 bytes in
	// percent encoding, and for a browser's cookies
	maxHeaderBytes = 8 << 10
	// bodies are read and ignored, so that the connection stays usable after a
	// 405
	maxBodyBytes = 16 << 10
	// Shutdown: for a request that is on its way to arrive; and the interval at
	// which connections that wait for a request are closed
	silentGrace    = 500 * time.Millisecond
	silentInterval = 100 * time.Millisecond
)

const (
	defaultReadTimeout  = 10 * time.Second
	defaultStartTimeout = 5 * time.Minute
	serverHeaderName    = "stap-exporter"
)

// Scripts is what the front end needs from the rest of the program. Its methods
// may be called from many goroutines at once.
type Scripts interface {
	// Scrape requests the metrics of the script called name, which it does not
	// keep. It returns by q.Deadline, give or take scheduling. Answer.Err is
	// scrape.ErrUnknown when there is no such script.
	Scrape(name []byte, q scrape.Query) scrape.Answer
	// Statuses lists all scripts, sorted by name. It renews no keepalive.
	Statuses() []*scrape.Status
}

// Config configures a Server.
type Config struct {
	Scripts      Scripts       // required
	ReadTimeout  time.Duration // of one read of a running script; 10 s when 0
	StartTimeout time.Duration // the longest that a request waits for a start; 5 min when 0
	Version      string        // shown below the list of scripts
	Logger       *zap.Logger   // silent when nil

	MaxConnections int // open at a time; DefaultMaxConnections when 0
	MaxRequests    int // for /all at a time; DefaultMaxRequests when 0

	Web *webconfig.Config // TLS, users, rate limit, headers; none when nil
	// Runtime returns the runtime of scripts that leave the choice to the
	// exporter, "kernel" or "bpf". It may change. nil: not known.
	Runtime func() string
	// OSPIDs scans the processes. The function that it returns lists those in
	// the process group of leader. nil: no scan, no processes listed.
	OSPIDs func() func(leader int) []int
	// ExternalURL is the address under which clients reach the server, see
	// ParseExternalURL. nil: the Host header of each request.
	ExternalURL *url.URL

	Telemetry     http.Handler // the exporter's own metrics; nil: none
	TelemetryPath string       // the path of Telemetry
	Events        func() any   // the last events, which encoding/json can marshal; nil: none

	Lifecycle       Lifecycle // what POST can do; nil: nothing
	EnableLifecycle bool      // whether POST may do it
}

// Server answers HTTP requests. Its methods may be called from any goroutine.
type Server struct {
	cfg    Config
	log    *zap.Logger
	http   *fasthttp.Server
	routes map[string]route // by path; not written after New
	now    func() time.Time // time.Now; tests replace it
	begin  time.Time        // when New was called
	web    atomic.Pointer[webconfig.Config]
	// held while the web config is read again
	reloading sync.Mutex

	closed        atomic.Bool   // Shutdown was called; written with mu held
	ended         chan struct{} // once closed: receives when a connection ends
	stopping      chan struct{} // closed by Shutdown
	permits       chan struct{} // one element for each of MaxRequests in use
	mu            sync.Mutex
	listeners     map[*listen.Listener]struct{} // being served
	conns         map[*clientConn]struct{}      // open
	rejecting     int                           // of conns, those over the limit
	longestIdle   []idleConn                    // candidates to give way, the longest idle last
	idleFoundAt   time.Time                     // when longestIdle was made
	limitLoggedAt time.Time                     // last log line about rejected connections

	pagesMu sync.Mutex
	pages   map[string]*sharedPage // by kind, and what else they depend on

	evicted  atomic.Uint64 // idle connections closed to make room for others
	rejected atomic.Uint64 // connections over the limit
	// requests that were rejected
	malformed, loginsRejected, rateLimited rejections

	disconnects atomic.Uint64 // clients that disconnected while their request waited
}

// New returns a server that does not listen yet.
func New(cfg Config) *Server {
	if cfg.ReadTimeout <= 0 {
		cfg.ReadTimeout = defaultReadTimeout
	}
	if cfg.StartTimeout <= 0 {
		cfg.StartTimeout = defaultStartTimeout
	}
	if cfg.MaxConnections <= 0 {
		cfg.MaxConnections = DefaultMaxConnections()
	}
	if cfg.MaxRequests <= 0 {
		cfg.MaxRequests = DefaultMaxRequests
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	s := &Server{
		cfg:       cfg,
		log:       cfg.Logger,
		now:       time.Now,
		begin:     time.Now(),
		stopping:  make(chan struct{}),
		permits:   make(chan struct{}, cfg.MaxRequests),
		pages:     make(map[string]*sharedPage),
		ended:     make(chan struct{}, 1),
		listeners: make(map[*listen.Listener]struct{}),
		conns:     make(map[*clientConn]struct{}),
	}
	s.web.Store(cfg.Web)
	s.routes = s.newRoutes()
	s.http = &fasthttp.Server{
		Handler:                      s.handle,
		ErrorHandler:                 s.rejectRequest,
		ConnState:                    s.trackConn,
		Name:                         serverHeaderName,
		Logger:                       connLogger{cfg.Logger},
		ReadTimeout:                  requestTimeout,
		WriteTimeout:                 replyTimeout,
		IdleTimeout:                  idleTimeout,
		ReadBufferSize:               maxHeaderBytes,
		MaxRequestBodySize:           maxBodyBytes,
		DisablePreParseMultipartForm: true,
		SecureErrorLogMessage:        true,
	}
	return s
}

// connLogger logs fasthttp's own messages. They are about clients that
// misbehave or disconnect, so the level is debug. Serve returns an error that
// ends it.
type connLogger struct{ log *zap.Logger }

// Printf implements fasthttp.Logger.
func (l connLogger) Printf(format string, args ...any) {
	if entry := l.log.Check(zap.DebugLevel, "http connection"); entry != nil {
		entry.Write(zap.String("detail", fmt.Sprintf(format, args...)))
	}
}
