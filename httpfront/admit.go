package httpfront

import (
	"fmt"
	"strconv"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
)

var headerAuthorization = []byte(fasthttp.HeaderAuthorization)

// ReloadWebConfig reads the web config file again, and the certificates that it
// names. When something is wrong with it the old one stays in force, and the
// error says what and where.
// Open connections keep the certificate and the login rules hold from the next
// request on. A file that begins or ceases to ask for TLS counts for new
// connections.
func (s *Server) ReloadWebConfig() error {
	old := s.web.Load()
	if old == nil {
		return nil // started without one
	}
	next, err := LoadWebConfig(old.path, s.log)
	if err != nil {
		return fmt.Errorf("web config is not reloaded, the old one stays: %w", err)
	}
	if (old.tls == nil) != (next.tls == nil) {
		s.log.Warn("TLS turned on or off by a reload", zap.Bool("tls", next.tls != nil))
	}
	s.web.Store(next)
	return nil
}

// TLS tells whether new connections speak TLS.
func (s *Server) TLS() bool {
	w := s.web.Load()
	return w != nil && w.tls != nil
}

// admit applies the limit of connections, rate limit and login. When it returns
// false the request is answered.
func (s *Server) admit(ctx *fasthttp.RequestCtx) bool {
	if turnedAway(ctx) {
		return false
	}
	w := s.web.Load()
	if w == nil {
		return true
	}
	if w.limiter != nil && !w.limiter.Allow() {
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, strconv.Itoa(wholeSeconds(w.retryAfter())))
		plainError(ctx, fasthttp.StatusTooManyRequests, "too many requests\n")
		return false
	}
	if w.auth == nil {
		return true
	}
	switch w.auth.login(ctx.Request.Header.PeekBytes(headerAuthorization)) {
	case loginGood:
		return true
	case loginBusy:
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, "1")
		plainError(ctx, fasthttp.StatusServiceUnavailable, "too many logins at once\n")
	case loginRefused:
		ctx.Response.Header.Set(fasthttp.HeaderWWWAuthenticate, `Basic realm="stap-exporter", charset="UTF-8"`)
		plainError(ctx, fasthttp.StatusUnauthorized, "log in with user and password\n")
	}
	return false
}

// setConfiguredHeaders adds those of the web config; they win over the server's
// own.
func (s *Server) setConfiguredHeaders(ctx *fasthttp.RequestCtx) {
	if w := s.web.Load(); w != nil {
		for _, h := range w.headers {
			ctx.Response.Header.SetCanonical(h.name, h.value)
		}
	}
}
