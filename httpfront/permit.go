package httpfront

import (
	"fmt"

	"github.com/valyala/fasthttp"
)

// DefaultMaxRequests is the default of Config.MaxRequests, that of
// node_exporter.
const DefaultMaxRequests = 40

// acquirePermit bounds the replies that are made for one request each, and may
// be large. The request holds the permit until its reply is written or its
// connection ends. When it returns false the request is answered.
func (s *Server) acquirePermit(ctx *fasthttp.RequestCtx) bool {
	c := socketOf(ctx.Conn())
	if c == nil || c.permit {
		return true
	}
	select {
	case s.permits <- struct{}{}:
		c.permit = true
		return true
	default:
	}
	ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, "1")
	text := fmt.Sprintf(
		"%d requests of this kind are being answered, the limit of --web.max-requests\n",
		cap(s.permits),
	)
	plainError(ctx, fasthttp.StatusServiceUnavailable, text)
	return false
}

// releasePermit releases the permit that a request on c holds, if any.
func (s *Server) releasePermit(c *clientConn) {
	if c.permit {
		c.permit = false
		<-s.permits
	}
}
