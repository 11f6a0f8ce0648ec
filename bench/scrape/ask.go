package scrape

import (
	"context"
	"fmt"
)

// Asker sends one request after the other over one connection, and looks at
// nothing but the status: for measuring time. Only one goroutine may use it.
type Asker struct{ c *connection }

// NewAsker connects to address.
func NewAsker(ctx context.Context, address, path string) (*Asker, error) {
	l := &closedLoop{c: Config{Address: address, Paths: []string{path}, Replicas: 1}, requests: map[string][][]byte{}}
	c := l.newConnection(0)
	return &Asker{c}, c.dial(ctx)
}

// Ask sends a request and waits for its reply.
func (a *Asker) Ask() error {
	var r reply
	err := a.c.exchange(context.Background(), 0, &r)
	if err == nil && (r.status != 200 || len(r.body) == 0) {
		err = fmt.Errorf("%d with %d bytes", r.status, len(r.body))
	}
	return err
}

// Close hangs up.
func (a *Asker) Close() { a.c.hangUp() }
