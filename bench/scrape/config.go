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

// Config describes the clients of a load run, and what they request.
type Config struct {
	Address string   // of the exporter, HOST:PORT
	Paths   []string // of the scripts
	// Replicas, in an open loop, each scrape every script. In a closed loop
	// each is one connection, which scrapes the scripts in order.
	Replicas int
	Duration time.Duration
	Interval time.Duration // open loop: between two scrapes of one script by one replica
	// Spread, in an open loop, is the largest difference of a replica's own
	// interval from Interval, as a part of it.
	Spread float64
	// Jitter, in an open loop, is the largest time by which a scrape is early
	// or late, as a part of the interval.
	Jitter float64
	// Timeout is sent in X-Prometheus-Scrape-Timeout-Seconds; 0: no header.
	Timeout time.Duration
	Fresh   float64 // part of the replicas that open a connection for each scrape
	// Accepts are names of the map Accepts, assigned to the replicas in order;
	// empty: no Accept headers.
	Accepts []string
	TLS     *tls.Config // nil: plain HTTP
	Checks  Checks
}

// accept has the values of the Accept and Accept-Encoding headers.
type accept struct{ accept, encoding string }

// Accepts are the headers of several clients, by name.
var Accepts = map[string]accept{
	"plain": {},
	"gzip":  {"", "gzip"},
	"prometheus": {
		"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6," +
			"application/openmetrics-text;version=0.0.1;q=0.5," +
			"text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
		"gzip",
	},
	"prometheus2": {
		"application/openmetrics-text;version=1.0.0;q=0.75,application/openmetrics-text;version=0.0.1;q=0.5," +
			"text/plain;version=0.0.4;q=0.25,*/*;q=0.1",
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
			return fmt.Errorf("unknown kind of Accept headers: %q", name)
		}
	}
	return nil
}

// header returns the headers of replica i.
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

// fresh reports whether replica i opens a connection for each scrape. Such
// replicas are spread evenly over all.
func (c Config) fresh(i int) bool {
	return math.Floor(float64(i+1)*c.Fresh) > math.Floor(float64(i)*c.Fresh)
}

// perAddress is how many replicas share a source address, each with a port of
// its own.
const perAddress = 20_000

// dialer returns the dialer of replica i.
func (c Config) dialer(i int) *net.Dialer {
	d := &net.Dialer{Timeout: 10 * time.Second}
	host, _, err := net.SplitHostPort(c.Address)
	if err != nil {
		return d
	}
	if ip := net.ParseIP(host); ip.To4() != nil && ip.IsLoopback() && i >= perAddress {
		d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i/perAddress))}
	}
	return d
}

// late returns an error if the reply took longer than the request's timeout.
func (c Config) late(r reply) error {
	if took := time.Duration(r.done - r.sent); c.Timeout > 0 && took > c.Timeout {
		return &wrong{wrongLate, took.String()}
	}
	return nil
}
