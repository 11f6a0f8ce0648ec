package scrape

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"stap-exporter/bench/body"
)

// replyTimeout is the longest wait for a reply.
const replyTimeout = time.Minute

// Closed scrapes in a closed loop: every connection sends a request as soon as
// it has the reply to the one before. It shows a server's throughput. Its
// latencies do not include the time that requests would have waited to be sent.
func Closed(ctx context.Context, c Config) (Result, error) {
	if err := c.check(); err != nil {
		return Result{}, err
	}
	l := &closedLoop{
		c:        c,
		checker:  &checker{what: c.Checks},
		tally:    newTally(),
		requests: map[string][][]byte{},
	}
	clients := make([]*connection, c.Replicas)
	for i := range clients {
		clients[i] = l.newConnection(i)
		defer clients[i].hangUp()
		if c.fresh(i) {
			continue
		}
		if err := clients[i].dial(ctx); err != nil {
			return Result{}, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, c.Duration)
	defer cancel()
	began := time.Now()
	var all sync.WaitGroup
	for i, each := range clients {
		all.Go(func() {
			for n := i; ; n++ {
				if !l.once(ctx, each, n%len(c.Paths)) {
					return
				}
			}
		})
	}
	all.Wait()
	return l.tally.result(time.Since(began)), nil
}

type closedLoop struct {
	c        Config
	checker  *checker
	tally    *tally
	requests map[string][][]byte
}

// connection is one client. Only one goroutine uses it.
type connection struct {
	loop      *closedLoop
	number    int
	dialer    *net.Dialer
	conn      net.Conn
	in        *bufio.Reader
	response  fasthttp.Response
	requests  [][]byte // by path; shared
	histories []history
}

func (l *closedLoop) newConnection(i int) *connection {
	kind := "none"
	if n := len(l.c.Accepts); n > 0 {
		kind = l.c.Accepts[i%n]
	}
	requests := l.requests[kind]
	if requests == nil {
		for _, path := range l.c.Paths {
			var b bytes.Buffer
			b.WriteString("GET " + path + " HTTP/1.1\r\nHost: " + l.c.Address + "\r\n")
			_ = l.c.header(i).Write(&b)
			b.WriteString("\r\n")
			requests = append(requests, b.Bytes())
		}
		l.requests[kind] = requests
	}
	return &connection{
		loop:      l,
		number:    i,
		dialer:    l.c.dialer(i),
		requests:  requests,
		histories: make([]history, len(l.c.Paths)),
	}
}

func (c *connection) dial(ctx context.Context) error {
	conn, err := c.dialer.DialContext(ctx, "tcp", c.loop.c.Address)
	if err != nil {
		return err
	}
	if c.loop.c.TLS != nil {
		conn = tls.Client(conn, c.loop.c.TLS)
	}
	c.conn = conn
	if c.in == nil {
		c.in = bufio.NewReaderSize(conn, 4096)
	} else {
		c.in.Reset(conn)
	}
	return nil
}

func (c *connection) hangUp() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// once scrapes, checks and counts. It returns false at the end of the run,
// which cuts off a request; that is not counted.
func (l *closedLoop) once(ctx context.Context, c *connection, path int) bool {
	r := reply{sent: body.Monotonic()}
	err := c.exchange(ctx, path, &r)
	r.done = body.Monotonic()
	// A dial ends at the context's deadline, possibly before ctx.Err reports
	// it.
	if end, _ := ctx.Deadline(); ctx.Err() != nil || !time.Now().Before(end) {
		return false
	}
	var age int64
	if err == nil {
		if age, err = l.checker.check(&c.histories[path], r); err == nil {
			err = l.c.late(r)
		}
	} else {
		c.hangUp()
	}
	l.tally.count(c.number, len(r.body), r.done-r.sent, age, -1, err)
	if l.c.fresh(c.number) {
		c.hangUp()
	}
	return true
}

func (c *connection) exchange(ctx context.Context, path int, r *reply) error {
	if c.conn == nil {
		if err := c.dial(ctx); err != nil {
			return err
		}
	}
	if err := c.conn.SetDeadline(time.Now().Add(replyTimeout)); err != nil {
		return err
	}
	if _, err := c.conn.Write(c.requests[path]); err != nil {
		return err
	}
	if err := c.response.Read(c.in); err != nil {
		return err
	}
	if c.response.ConnectionClose() {
		defer c.hangUp()
	}
	h := &c.response.Header
	r.status = c.response.StatusCode()
	r.contentType, r.encoding = string(h.ContentType()), string(h.ContentEncoding())
	r.body = c.response.Body()
	if n := h.ContentLength(); n >= 0 && n != len(r.body) {
		return errors.New("body is shorter than its header says")
	}
	return nil
}
