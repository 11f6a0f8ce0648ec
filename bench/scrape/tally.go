package scrape

import (
	"errors"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// longest is the largest value that a distribution distinguishes.
const longest = 10 * time.Minute

// Result is the result of a load run.
type Result struct {
	Seconds  float64
	Replies  int64             // all, including wrong ones
	Rate     float64           // replies per second
	Bytes    int64             // of bodies, as received
	Wrong    int64             // sum of Kinds
	Kinds    map[string]int64  `json:",omitempty"` // wrong replies by kind
	Examples map[string]string `json:",omitempty"` // one of each kind
	Latency  Distribution      // since the request was due (open loop) or sent (closed loop)
	Age      Distribution      // of the data when it arrived, since its read began
	Behind   Distribution      // open loop: how late the load program sent requests
}

// Distribution is an HDR histogram of milliseconds with three exact digits.
type Distribution struct {
	Count                                 int64
	Mean, P50, P90, P99, P999, P9999, Max float64
	Points                                []Point `json:",omitempty"`
}

// Point means that Part of all values, from 0 to 1, is at most Value
// milliseconds.
type Point struct{ Part, Value float64 }

// tally counts replies. It has several shards, so that goroutines can count at
// the same time.
type tally struct{ shards [16]shard }

type shard struct {
	mu                   sync.Mutex
	replies, bytes       int64
	kinds                map[string]int64
	examples             map[string]string
	latency, age, behind *hdrhistogram.Histogram
	_                    [64]byte // keeps shards out of each other's cache lines
}

func newTally() *tally {
	t := &tally{}
	for i := range t.shards {
		s := &t.shards[i]
		s.kinds, s.examples = map[string]int64{}, map[string]string{}
		s.latency, s.age, s.behind = newHistogram(), newHistogram(), newHistogram()
	}
	return t
}

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1000, int64(longest), 3) }

// count adds one reply to replica i. A behind below 0 is not counted, nor is an
// age of 0.
func (t *tally) count(i, size int, latency, age, behind int64, err error) {
	s := &t.shards[i%len(t.shards)]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replies++
	s.bytes += int64(size)
	record(s.latency, latency)
	if age > 0 {
		record(s.age, age)
	}
	if behind >= 0 {
		record(s.behind, behind)
	}
	if err != nil {
		w := &wrong{wrongConnection, err.Error()}
		if as, ok := errors.AsType[*wrong](err); ok {
			w = as
		}
		s.kinds[w.kind]++
		s.examples[w.kind] = w.detail
	}
}

func record(h *hdrhistogram.Histogram, v int64) {
	_ = h.RecordValue(min(max(v, 0), int64(longest))) // never out of range
}

// result returns the sums of all shards.
func (t *tally) result(took time.Duration) Result {
	r := Result{Seconds: took.Seconds(), Kinds: map[string]int64{}, Examples: map[string]string{}}
	latency, age, behind := newHistogram(), newHistogram(), newHistogram()
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		r.Replies += s.replies
		r.Bytes += s.bytes
		for k, n := range s.kinds {
			r.Kinds[k] += n
			r.Wrong += n
			r.Examples[k] = s.examples[k]
		}
		latency.Merge(s.latency)
		age.Merge(s.age)
		behind.Merge(s.behind)
		s.mu.Unlock()
	}
	r.Rate = float64(r.Replies) / took.Seconds()
	r.Latency, r.Age, r.Behind = distribution(latency), distribution(age), distribution(behind)
	return r
}

func distribution(h *hdrhistogram.Histogram) Distribution {
	ms := func(v int64) float64 { return float64(v) / 1e6 }
	at := func(q float64) float64 { return ms(h.ValueAtQuantile(q)) }
	d := Distribution{Count: h.TotalCount()}
	if d.Count == 0 {
		return d
	}
	d.Mean, d.Max = h.Mean()/1e6, ms(h.Max())
	d.P50, d.P90, d.P99, d.P999, d.P9999 = at(50), at(90), at(99), at(99.9), at(99.99)
	for _, b := range h.CumulativeDistribution() {
		d.Points = append(d.Points, Point{b.Quantile / 100, ms(b.ValueAt)})
	}
	return d
}
