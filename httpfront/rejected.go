package httpfront

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
)

// rejectLogInterval is the least time between two log lines about requests that
// were rejected with one status code.
const rejectLogInterval = time.Minute

// rejections counts the requests that were rejected with one status code. An
// attack, a wrong password in a client's configuration and a limit that is too
// low all show there.
type rejections struct {
	count atomic.Uint64

	mu       sync.Mutex
	loggedAt time.Time
	logged   uint64 // the count at that time
}

// countRejected counts a reply with a status code that no script's state
// explains, and logs it: the first, then at most once a minute.
func (s *Server) countRejected(code int, client net.Addr) {
	var r *rejections
	switch code {
	case fasthttp.StatusBadRequest:
		r = &s.malformed
	case fasthttp.StatusUnauthorized:
		r = &s.loginsRejected
	case fasthttp.StatusTooManyRequests:
		r = &s.rateLimited
	default:
		return
	}
	count := r.count.Add(1)
	now := time.Now()
	r.mu.Lock()
	log := now.Sub(r.loggedAt) >= rejectLogInterval
	since := count - r.logged
	if log {
		r.loggedAt, r.logged = now, count
	}
	r.mu.Unlock()
	if log {
		s.log.Warn(
			"requests rejected",
			zap.Int("code", code),
			zap.Uint64("requests", since),
			zap.Stringer("client", client),
		)
	}
}
