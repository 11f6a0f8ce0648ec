package scrape

import (
	"crypto/tls"
	"fmt"
	"math"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Config says who asks for what, and how.
type Config struct {
	Address string   // of the exporter, HOST:PORT
	Paths   []string // of the scripts
	// open loop: each scrapes every script. Closed loop: each is one
	// connection, and scrapes the scripts in turn
	Replicas int
	Duration time.Duration
	Interval time.Duration // open loop: between two scrapes of one script by one replica
	// open loop: a replica's own interval differs from Interval by up to this
	// part of it
	Spread float64
	// open loop: each scrape comes up to this part of the interval early or
	// late
	Jitter float64
	// what the requests say that they wait, in
	// X-Prometheus-Scrape-Timeout-Seconds; 0: nothing
	Timeout time.Duration
	Fresh   float64 // this part of the replicas makes a connection for each scrape
	// how replicas ask, names of Accepts, dealt in turn; empty: without headers
	Accepts []string
	TLS     *tls.Config // nil: without
	Checks  Checks
}

// accept is how a client asks.
type accept struct{ accept, encoding string }

// Accepts are the ways to ask for metrics.
var Accepts = map[string]accept{
	"plain": {},
	"gzip":  {"", "gzip"},
	"prometheus": {
		"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
		"gzip",
	},
	"prometheus2": {
		"application/openmetrics-text;version=1.0.0;q=0.75,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=0.0.4;q=0.25,*/*;q=0.1",
		"gzip",
	},
	"openmetrics": {"application/openmetrics-text;version=1.0.0", ""},
	"text":        {"text/plain;version=0.0.4", ""},
}

func (c Config) check() error {
	if len(c.Paths) == 0 || c.Replicas < 1 || c.Duration <= 0 {
		return fmt.Errorf("nothing to do: %d paths, %d replicas, %s", len(c.Paths), c.Replicas, c.Duration)
	}
	for _, name := range c.Accepts {
		if _, ok := Accepts[name]; !ok {
			return fmt.Errorf("unknown way to ask: %q", name)
		}
	}
	return nil
}

// header is what replica i sends.
func (c Config) header(i int) http.Header {
	h := http.Header{"User-Agent": {"stap-exporter-bench"}}
	if len(c.Accepts) > 0 {
		a := Accepts[c.Accepts[i%len(c.Accepts)]]
		if a.accept != "" {
			h.Set("Accept", a.accept)
		}
		if a.encoding != "" {
			h.Set("Accept-Encoding", a.encoding)
		}
	}
	if c.Timeout > 0 {
		h.Set("X-Prometheus-Scrape-Timeout-Seconds", strconv.FormatFloat(c.Timeout.Seconds(), 'f', -1, 64))
	}
	return h
}

// fresh tells whether replica i makes a connection for each scrape. Such
// replicas lie evenly among the others.
func (c Config) fresh(i int) bool {
	return math.Floor(float64(i+1)*c.Fresh) > math.Floor(float64(i)*c.Fresh)
}

// perAddress is how many replicas share a source address: a port can be used
// once per address.
const perAddress = 20_000

// dialer is that of replica i.
func (c Config) dialer(i int) *net.Dialer {
	d := &net.Dialer{Timeout: 10 * time.Second}
	if host, _, err := net.SplitHostPort(
		c.Address,
	); err == nil && net.ParseIP(host).To4() != nil && net.ParseIP(host).IsLoopback() &&
		i >= perAddress {
		d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i/perAddress))}
	}
	return d
}

// late tells whether a reply came after the time that its request had.
func (c Config) late(r reply) error {
	if took := time.Duration(r.done - r.sent); c.Timeout > 0 && took > c.Timeout {
		return &wrong{wrongLate, took.String()}
	}
	return nil
}
