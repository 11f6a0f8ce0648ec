package httpfront

import (
	"fmt"
	"strconv"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"stap-exporter/httpfront/internal/display"
	"stap-exporter/httpfront/webconfig"
)

var headerAuthorization = []byte(fasthttp.HeaderAuthorization)

// ReloadWebConfig reads the web config file again, and the certificates that it
// names. When something is wrong the old configuration stays in force, and the
// error names the file and the line.
//
// Open connections keep their certificate. Users, rate limit and headers count
// from the next request on, TLS that is turned on or off from the next
// connection on.
func (s *Server) ReloadWebConfig() error {
	s.reloading.Lock() // the last reload counts, also when two run at a time
	defer s.reloading.Unlock()
	old := s.web.Load()
	next, err := old.Reload()
	if err != nil {
		return fmt.Errorf("reload web config, keeping the old one: %w", err)
	}
	if secure := next.TLS() != nil; secure != s.TLS() {
		s.log.Warn("TLS enabled or disabled by a reload", zap.Bool("tls", secure))
	}
	s.web.Store(next)
	return nil
}

// TLS reports whether new connections use TLS.
func (s *Server) TLS() bool { return s.web.Load().TLS() != nil }

// admit applies the connection limit, the rate limit and the login. When it
// returns false the request is answered.
func (s *Server) admit(ctx *fasthttp.RequestCtx) bool {
	if rejectOverLimit(ctx) {
		return false
	}
	web := s.web.Load()
	if retryAfter, ok := web.Allow(); !ok {
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, strconv.Itoa(display.WholeSeconds(retryAfter)))
		plainError(ctx, fasthttp.StatusTooManyRequests, "too many requests\n")
		return false
	}
	switch web.Login(ctx.Request.Header.PeekBytes(headerAuthorization)) {
	case webconfig.LoginAccepted:
		return true
	case webconfig.LoginBusy:
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, "1")
		plainError(ctx, fasthttp.StatusServiceUnavailable, "too many logins at once\n")
	case webconfig.LoginRejected:
		ctx.Response.Header.Set(fasthttp.HeaderWWWAuthenticate, `Basic realm="stap-exporter", charset="UTF-8"`)
		plainError(ctx, fasthttp.StatusUnauthorized, "user and password required\n")
	}
	return false
}

// setConfiguredHeaders adds the headers of the web config. They replace the
// server's own.
func (s *Server) setConfiguredHeaders(ctx *fasthttp.RequestCtx) {
	for _, h := range s.web.Load().Headers() {
		ctx.Response.Header.SetCanonical(h.Name, h.Value)
	}
}
