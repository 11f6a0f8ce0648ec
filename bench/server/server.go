// Package server holds the servers that the benchmarks compare. All of them
// serve a text of the same size at /bench0.stp; the product serves as many
// scripts as it is told to.
package server

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"time"
)

// Options say what a server serves.
type Options struct {
	Size     int           // bytes of a text, at most 65,000
	Cost     time.Duration // of one read of the source
	Spin     bool          // the cost is CPU time, not waiting
	Constant bool          // product: every read gives the same page, made once
	Scripts  int           // product: how many
	OnDemand bool          // product: scripts run when they are asked for, not from the start
	TLS      bool          // product: with a certificate of its own
	TextFile string        // bare: serve what is in this file
}

// Server is one of the compared.
type Server interface {
	Serve(net.Listener) error // until Close; it owns the listener
	Close()
	CA() string // the file with the certificate that clients are to trust; empty without TLS
}

var kinds = map[string]func(Options) (Server, error){
	"product":  newProduct,
	"bare":     newBare,
	"mutex":    newMutex,
	"promhttp": newPromhttp,
}

// Kinds are the names of the servers.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// maxSize leaves room below the 65,535 bytes at which SystemTap cuts a text.
const maxSize = 65_000

// New makes a server that does not serve yet. Close has to be called.
func New(kind string, o Options) (Server, error) {
	if o.Size > maxSize {
		return nil, fmt.Errorf("a text of %d bytes: at most %d, since SystemTap cuts texts", o.Size, maxSize)
	}
	if kinds[kind] == nil {
		return nil, fmt.Errorf("no server of the kind %q", kind)
	}
	return kinds[kind](o)
}
