package scrape

import (
	"sync/atomic"
	"time"
)

// RequestCodes are the HTTP status codes that a request for a script can get.
var RequestCodes = [...]int{200, 403, 500, 502, 503, 504}

// Requests counts the requests for one script. All statuses of the script share
// it. Its methods may be called from any goroutine and do not allocate.
type Requests struct {
	codes [len(RequestCodes)]atomic.Uint64
	last  atomic.Int64 // Unix time in nanoseconds; 0: no request yet
}

// Count counts a request that was answered with code. A nil r counts nothing,
// nor does a code that is not in RequestCodes.
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

// Total returns how many requests were answered with RequestCodes[i].
func (r *Requests) Total(i int) uint64 { return r.codes[i].Load() }

// MarkReceived records that a request arrived at t.
func (r *Requests) MarkReceived(t time.Time) { r.last.Store(t.UnixNano()) }

// Last returns when the last request arrived; false: there was none.
func (r *Requests) Last() (time.Time, bool) {
	n := r.last.Load()
	return time.Unix(0, n), n != 0
}
