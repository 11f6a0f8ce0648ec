package scrape

import (
	"bytes"
	"container/heap"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"stap-exporter/bench/body"
)

// stream is one replica's scrapes of one script.
type stream struct {
	replica  int
	url      string
	header   http.Header
	client   *http.Transport // of the replica
	history  history
	interval time.Duration
	next     time.Duration // of the next scrape, without jitter, since the beginning
	due      time.Duration // the same, with jitter
}

// schedule has the time of each scrape. vegeta calls it for one hit after
// another.
type schedule struct {
	mu      sync.Mutex
	streams []*stream // a heap by due
	hits    []hit     // by vegeta's sequence number
	jitter  float64
	began   int64 // body.Monotonic
	until   time.Duration
	random  *rand.Rand
}

type hit struct {
	stream *stream
	due    time.Duration
}

func (s *schedule) Len() int           { return len(s.streams) }
func (s *schedule) Less(i, j int) bool { return s.streams[i].due < s.streams[j].due }
func (s *schedule) Swap(i, j int)      { s.streams[i], s.streams[j] = s.streams[j], s.streams[i] }

// Push implements heap.Interface.
func (s *schedule) Push(x any) { s.streams = append(s.streams, x.(*stream)) }

// Pop implements heap.Interface. It is never called, because no stream ends.
func (s *schedule) Pop() any { panic("Pop of a stream") }

// Pace implements vegeta.Pacer.
func (s *schedule) Pace(elapsed time.Duration, hits uint64) (wait time.Duration, stop bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.began == 0 {
		s.began = body.Monotonic() - int64(elapsed)
	}
	for uint64(len(s.hits)) <= hits {
		st := s.streams[0]
		s.hits = append(s.hits, hit{st, st.due})
		s.plan(st)
		heap.Fix(s, 0)
	}
	due := s.hits[hits].due
	return due - elapsed, due > s.until
}

// plan sets the time of the stream's next scrape.
func (s *schedule) plan(st *stream) {
	st.next += st.interval
	st.due = st.next + time.Duration(s.jitter*float64(st.interval)*(2*s.random.Float64()-1))
}

// Rate implements vegeta.Pacer. Only vegeta's reports use it.
func (s *schedule) Rate(time.Duration) float64 { return 0 }

func (s *schedule) hit(sequence uint64) hit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hits[sequence]
}

// Open scrapes in an open loop: a scrape is sent when it is due, however many
// others wait for their replies. Its latency counts from the time when it was
// due.
func Open(ctx context.Context, c Config) (Result, error) {
	if err := c.check(); err != nil {
		return Result{}, err
	}
	plan := &schedule{jitter: c.Jitter, until: c.Duration, random: rand.New(rand.NewPCG(1, 2))}
	scheme := "http://"
	if c.TLS != nil {
		scheme = "https://"
	}
	for i := range c.Replicas {
		transport := &http.Transport{
			DialContext:         c.dialer(i).DialContext,
			TLSClientConfig:     c.TLS,
			DisableCompression:  true,
			DisableKeepAlives:   c.fresh(i),
			MaxIdleConnsPerHost: len(c.Paths),
			IdleConnTimeout:     time.Minute,
		}
		defer transport.CloseIdleConnections()
		interval := time.Duration(float64(c.Interval) * (1 + c.Spread*(2*plan.random.Float64()-1)))
		for _, path := range c.Paths {
			st := &stream{
				replica:  i,
				url:      scheme + c.Address + path,
				header:   c.header(i),
				client:   transport,
				interval: interval,
			}
			st.next = time.Duration(plan.random.Float64() * float64(interval))
			st.due = st.next
			plan.streams = append(plan.streams, st)
		}
	}
	heap.Init(plan)
	t := newTally()
	o := &openLoop{
		c:       c,
		checker: &checker{what: c.Checks},
		plan:    plan,
		tally:   t,
	}
	attacker := vegeta.NewAttacker(vegeta.Client(&http.Client{Transport: o, Timeout: time.Minute}), vegeta.Workers(16))
	targets := func(target *vegeta.Target) error {
		target.Method, target.URL = http.MethodGet, "http://scheduled/" // replaced by openLoop
		return nil
	}
	began := time.Now()
	results := attacker.Attack(targets, plan, c.Duration, "")
	done := context.AfterFunc(ctx, func() { attacker.Stop() })
	defer done()
	for range results { // counted by openLoop
	}
	return t.result(time.Since(began)), ctx.Err()
}

// openLoop is vegeta's transport. It sends the scheduled hit with vegeta's
// sequence number over a connection of its replica, and checks the reply.
type openLoop struct {
	c       Config
	checker *checker
	plan    *schedule
	tally   *tally
}

// RoundTrip implements http.RoundTripper.
func (o *openLoop) RoundTrip(req *http.Request) (*http.Response, error) {
	sequence, err := strconv.ParseUint(req.Header.Get("X-Vegeta-Seq"), 10, 64)
	if err != nil {
		return nil, err
	}
	h := o.plan.hit(sequence)
	due := o.plan.began + int64(h.due)
	r, err := send(req.Context(), h.stream)
	var age int64
	if err == nil {
		if age, err = o.checker.check(&h.stream.history, r); err == nil {
			err = o.c.late(r)
		}
	}
	o.tally.count(h.stream.replica, len(r.body), r.done-due, age, r.sent-due, err)
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: req}, nil
}

func send(ctx context.Context, st *stream) (r reply, err error) {
	defer func() { r.done = body.Monotonic() }()
	r.sent = body.Monotonic()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, st.url, nil)
	if err != nil {
		return r, err
	}
	req.Header = st.header
	resp, err := st.client.RoundTrip(req)
	if err != nil {
		return r, err
	}
	var b bytes.Buffer
	_, err = io.Copy(&b, resp.Body)
	_ = resp.Body.Close()
	r.status, r.body = resp.StatusCode, b.Bytes()
	r.contentType, r.encoding = resp.Header.Get("Content-Type"), resp.Header.Get("Content-Encoding")
	return r, err
}
