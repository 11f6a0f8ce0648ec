package scrape

import (
	"errors"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Result is what a load run saw.
type Result struct {
	Seconds  float64
	Replies  int64             // all of them, wrong ones, too
	Rate     float64           // replies per second
	Bytes    int64             // of bodies, as they came
	Wrong    int64             // sum of Kinds
	Kinds    map[string]int64  `json:",omitempty"` // wrong replies by what is wrong
	Examples map[string]string `json:",omitempty"` // one of each kind
	Latency  Distribution      // from when the request was due (open loop) or sent (closed loop)
	Age      Distribution      // of the data when it arrived: from the beginning of its read
	Behind   Distribution      // open loop: how late the load program itself sent requests
}

// Distribution is a HDR histogram, in milliseconds, three digits exact.
type Distribution struct {
	Count                                 int64
	Mean, P50, P90, P99, P999, P9999, Max float64
	Points                                []Point `json:",omitempty"`
}

// Point says that this part of all values, from 0 to 1, is at most Value
// milliseconds.
type Point struct{ Part, Value float64 }

// longest is the largest value that is told apart.
const longest = 10 * time.Minute

// tally counts replies. It is split, so that many may count at once.
type tally struct{ shards [16]shard }

type shard struct {
	mu                   sync.Mutex
	replies, bytes       int64
	kinds                map[string]int64
	examples             map[string]string
	latency, age, behind *hdrhistogram.Histogram
	_                    [64]byte // shards do not share a cache line
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

// count adds one reply. who spreads the work; behind below 0 is not counted,
// and neither is an age of 0.
func (t *tally) count(who int, size int, latency, age, behind int64, err error) {
	s := &t.shards[who%len(t.shards)]
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
	_ = h.RecordValue(min(max(v, 0), int64(longest))) // cannot be out of range
}

// result sums everything up.
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
