package scrape

import (
	"context"
	"sync"
	"time"
)

// CrowdWorkers is how many connections of a crowd send requests at a time.
const CrowdWorkers = 64

// Crowd is many open connections, most of them idle at any time.
type Crowd struct {
	loop    *closedLoop
	clients []*connection
}

// NewCrowd opens Replicas connections. The caller must call Close, unless there
// is an error.
func NewCrowd(ctx context.Context, c Config) (*Crowd, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	crowd := &Crowd{loop: &closedLoop{
		c:        c,
		checker:  &checker{what: c.Checks},
		tally:    newTally(),
		requests: map[string][][]byte{},
	}}
	for i := range c.Replicas {
		client := crowd.loop.newConnection(i)
		crowd.clients = append(crowd.clients, client)
		if err := client.dial(ctx); err != nil {
			crowd.Close()
			return nil, err
		}
	}
	return crowd, nil
}

// ScrapeAll scrapes once over each connection, some at a time, and checks the
// replies. It ends after Duration at the latest.
func (c *Crowd) ScrapeAll(ctx context.Context) Result {
	c.loop.tally = newTally()
	ctx, cancel := context.WithTimeout(ctx, c.loop.c.Duration)
	defer cancel()
	next := make(chan int)
	began := time.Now()
	var all sync.WaitGroup
	for range CrowdWorkers {
		all.Go(func() {
			for i := range next {
				c.loop.once(ctx, c.clients[i], i%len(c.loop.c.Paths))
			}
		})
	}
	for i := range c.clients {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	all.Wait()
	return c.loop.tally.result(time.Since(began))
}

// Close closes the connections.
func (c *Crowd) Close() {
	for _, client := range c.clients {
		client.hangUp()
	}
}
