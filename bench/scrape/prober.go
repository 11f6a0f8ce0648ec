package scrape

import (
	"context"
	"fmt"
)

// Prober sends one request after another over one connection. It checks only
// the status, so it measures little but the server's time. Only one goroutine
// may use it.
type Prober struct{ c *connection }

// NewProber connects to address. The caller must call Close.
func NewProber(ctx context.Context, address, path string) (*Prober, error) {
	l := &closedLoop{c: Config{Address: address, Paths: []string{path}, Replicas: 1}, requests: map[string][][]byte{}}
	c := l.newConnection(0)
	return &Prober{c}, c.dial(ctx)
}

// Probe sends a request and waits for its reply.
func (p *Prober) Probe() error {
	var r reply
	err := p.c.exchange(context.Background(), 0, &r)
	if err == nil && (r.status != 200 || len(r.body) == 0) {
		err = fmt.Errorf("status %d, %d bytes", r.status, len(r.body))
	}
	return err
}

// Close closes the connection.
func (p *Prober) Close() { p.c.hangUp() }
