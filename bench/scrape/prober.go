package scrape

import (
	"context"
	"fmt"
)

// Asker sends one request after the other over one connection, and looks at
// nothing but the status: for measuring time. Only one goroutine may use it.
type Prober struct{ c *connection }

// NewAsker connects to address.
func NewProber(ctx context.Context, address, path string) (*Prober, error) {
	l := &closedLoop{c: Config{Address: address, Paths: []string{path}, Replicas: 1}, requests: map[string][][]byte{}}
	c := l.newConnection(0)
	return &Prober{c}, c.dial(ctx)
}

// Ask sends a request and waits for its reply.
func (a *Prober) Probe() error {
	var r reply
	err := a.c.exchange(context.Background(), 0, &r)
	if err == nil && (r.status != 200 || len(r.body) == 0) {
		err = fmt.Errorf("%d with %d bytes", r.status, len(r.body))
	}
	return err
}

// Close hangs up.
func (a *Prober) Close() { a.c.hangUp() }
