package scrape

import (
	"sync/atomic"
	"time"
)

// RequestCodes are the HTTP codes that a request for a script can get.
var RequestCodes = [...]int{200, 403, 500, 502, 503, 504}

// epoch is what moments are counted from, so that they keep their distance when
// somebody sets the clock.
var epoch = time.Now().Add(-1)

// Requests counts the requests for one script. It is shared by all statuses of
// the script; its methods may be called from any goroutine and allocate
// nothing.
type Requests struct {
	codes [len(RequestCodes)]atomic.Uint64
	last  atomic.Int64 // nanoseconds since epoch; 0: none came
}

// Count counts a request that was answered with code.
func (r *Requests) Count(code int) {
	if r == nil {
		return
	}
	for i, c := range RequestCodes {
		if c == code {
			r.codes[i].Add(1)
			return
		}
	}
}

// Counted returns how many requests were answered with RequestCodes[i].
func (r *Requests) Total(i int) uint64 { return r.codes[i].Load() }

// Came notes that a request came at t.
func (r *Requests) MarkReceived(t time.Time) { r.last.Store(int64(t.Sub(epoch))) }

// Last returns when the last request came; false: none did.
func (r *Requests) Last() (time.Time, bool) {
	n := r.last.Load()
	return epoch.Add(time.Duration(n)), n != 0
}
