package httpfront

import (
	"bytes"
	"runtime/debug"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
)

var scriptSuffix = []byte(".stp")

// A route holds the handlers of one path.
type route struct {
	get  fasthttp.RequestHandler // GET and HEAD; nil: not allowed
	post fasthttp.RequestHandler // nil: not allowed
	open bool                    // needs no login, has no rate limit
}

// FixedPaths returns the paths that are not those of scripts.
func FixedPaths() []string {
	return []string{"/", "/-/healthy", "/-/ready", "/-/reload", "/sd", allPath, apiList, apiEventsPath}
}

// newRoutes returns the routes of the fixed paths. apiRoute has those below
// apiScripts. Any other path is a script's, or unknown.
func (s *Server) newRoutes() map[string]route {
	routes := map[string]route{
		"/":          {get: s.list},
		"/-/healthy": {get: s.healthy, open: true},
		"/-/ready":   {get: s.ready, open: true},
		"/sd":        {get: s.discovery},
		allPath:      {get: s.all},
		apiList:      {get: s.apiList},
		"/-/reload":  {post: s.reload},
	}
	if s.cfg.Telemetry != nil {
		routes[s.cfg.TelemetryPath] = s.telemetry(s.cfg.Telemetry)
	}
	if s.cfg.Events != nil {
		routes[apiEventsPath] = route{get: s.apiEvents}
	}
	return routes
}

// handle is fasthttp's handler: it answers every request.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	if c := socketOf(ctx.Conn()); c != nil && c.waiting.Swap(answering) == gaveWay {
		ctx.SetConnectionClose() // the request came too late, its connection is closed
		return
	}
	s.answer(ctx)
	s.setConfiguredHeaders(ctx)
	if code := ctx.Response.StatusCode(); code != fasthttp.StatusOK {
		s.countRejected(code, ctx.RemoteAddr())
	}
	if s.closed.Load() || overLimit(ctx) {
		ctx.SetConnectionClose()
	}
}

func (s *Server) answer(ctx *fasthttp.RequestCtx) {
	defer s.recoverPanic(ctx)
	setCommonHeaders(ctx)
	path := exactPath(ctx)
	r, fixed := s.routes[string(path)]
	if !r.open && !s.admit(ctx) {
		return
	}
	switch {
	case fixed:
		r.serve(ctx)
	case bytes.HasPrefix(path, apiScripts):
		s.apiRoute(path[len(apiScripts):]).serve(ctx)
	case !readOnly(ctx):
		rejectMethod(ctx, allowGet)
	default:
		if name, ok := scriptName(path); ok {
			s.scrape(ctx, name)
			return
		}
		notFound(ctx)
	}
}

// serve answers by the request's method.
func (r route) serve(ctx *fasthttp.RequestCtx) {
	switch {
	case r.get != nil && readOnly(ctx):
		r.get(ctx)
	case r.post != nil && ctx.IsPost():
		r.post(ctx)
	case r.post == nil:
		rejectMethod(ctx, allowGet)
	case r.get == nil:
		rejectMethod(ctx, allowPost)
	default:
		rejectMethod(ctx, allowGet+", "+allowPost)
	}
}

// recoverPanic turns a panic of a handler into a 500. It must be deferred
// directly.
func (s *Server) recoverPanic(ctx *fasthttp.RequestCtx) {
	p := recover()
	if p == nil {
		return
	}
	s.logPanic(p, string(ctx.Path()))
	ctx.Response.Reset()
	setCommonHeaders(ctx)
	plainError(ctx, fasthttp.StatusInternalServerError, internalErrorText)
}

// logPanic logs a panic with its stack. The deferred function that recovered
// the panic must call it.
func (s *Server) logPanic(p any, path string) {
	s.log.Error(
		"panic in an HTTP handler",
		zap.Any("panic", p),
		zap.String("path", path),
		zap.ByteString("stack", debug.Stack()),
	)
}

// exactPath returns the request's path, percent-decoded. It returns nil when
// fasthttp changed more than that: fasthttp also removes "//", "/./" and
// "/../", literal or percent-encoded, and one resource would have many names.
// The result belongs to ctx.
func exactPath(ctx *fasthttp.RequestCtx) []byte {
	uri := ctx.URI()
	raw, path := uri.PathOriginal(), uri.Path()
	if len(raw) == 0 || raw[0] != '/' {
		return nil // GET x.stp: no slash
	}
	if target := ctx.Request.Header.RequestURI(); target[0] == '/' && !bytes.HasPrefix(target, raw) {
		return nil // GET //host/x.stp: fasthttp takes the first part for a host
	}
	if decodedLen(raw) != len(path) {
		return nil
	}
	return path
}

// decodedLen returns the length of raw after percent-decoding. A '%' without
// two hex digits stays as it is.
func decodedLen(raw []byte) int {
	n := len(raw)
	for i := 0; i+2 < len(raw); i++ {
		if raw[i] == '%' && isHex(raw[i+1]) && isHex(raw[i+2]) {
			n -= 2
			i += 2
		}
	}
	return n
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// scriptName returns the script name in path, and false for a path that no
// script can have. Scripts knows whether there is such a script.
func scriptName(path []byte) ([]byte, bool) {
	if !bytes.HasSuffix(path, scriptSuffix) {
		return nil, false
	}
	name := path[1:]
	return name, bytes.IndexByte(name, '/') < 0
}

// readOnly reports whether the method is GET or HEAD. fasthttp omits the body
// of a reply to HEAD.
func readOnly(ctx *fasthttp.RequestCtx) bool {
	return ctx.IsGet() || ctx.IsHead()
}
