// Package server has the servers that the benchmarks compare. Each serves a
// text of the same size at /bench0.stp; the product can serve more scripts.
package server

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"time"
)

// Options control what a server serves.
type Options struct {
	Size     int           // bytes of a text, at most 65,000
	Cost     time.Duration // of one read of the source
	Spin     bool          // Cost is CPU time, not waiting
	Constant bool          // product: every read returns the same page, made once
	Scripts  int           // product: number of scripts
	OnDemand bool          // product: a request starts a script, not the server's start
	TLS      bool          // product: TLS, with a certificate made for this run
	TextFile string        // bare: serve the content of this file
}

// Server is one of the compared servers.
type Server interface {
	// Serve serves until Close. It owns the listener.
	Serve(net.Listener) error
	Close()
	// CA returns the file of the certificate that clients must trust; empty
	// without TLS.
	CA() string
}

var kinds = map[string]func(Options) (Server, error){
	"product":  newProduct,
	"bare":     newBare,
	"mutex":    newMutex,
	"promhttp": newPromhttp,
}

// Kinds returns the names of the servers.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// maxSize is below the 65,535 bytes at which SystemTap cuts a text.
const maxSize = 65_000

// New returns a server that does not serve yet. The caller must call Close.
func New(kind string, o Options) (Server, error) {
	if o.Size > maxSize {
		return nil, fmt.Errorf("a text of %d bytes: at most %d, since SystemTap cuts texts", o.Size, maxSize)
	}
	if kinds[kind] == nil {
		return nil, fmt.Errorf("no server of the kind %q", kind)
	}
	return kinds[kind](o)
}
