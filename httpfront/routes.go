package httpfront

import (
	"bytes"
	"runtime/debug"
	"strings"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"stap-exporter/internal/cpulimit"
)

const (
	plainText         = "text/plain; charset=utf-8"
	notFoundText      = "script not found\nThe list of scripts is at /\n"
	internalErrorText = "internal error, the server's log says more\n"
)

// Header names in canonical form and values, as fasthttp takes them without a
// copy.
var (
	headerNosniff      = []byte("X-Content-Type-Options")
	headerCacheControl = []byte("Cache-Control")
	valueNosniff       = []byte("nosniff")
	valueNoStore       = []byte("no-store")
	headerVary         = []byte("Vary")
	valueVary          = []byte("Accept, Accept-Encoding")

	scriptSuffix = []byte(".stp")
)

// A route is what one path answers, by method.
type route struct {
	get   fasthttp.RequestHandler // GET and HEAD; nil: not allowed
	post  fasthttp.RequestHandler // nil: not allowed
	open  bool                    // for everybody: neither login nor rate limit
	large bool                    // a page that takes milliseconds to make, see processors.Turn
}

// FixedPaths are the paths that the server itself answers.
func FixedPaths() []string {
	return []string{"/", "/-/healthy", "/-/ready", "/-/reload", "/sd", allPath, apiList, apiEventsPath}
}

// newRoutes returns what answers each fixed path. Below apiScripts, apiRoute
// says; every other path is that of a script, or of nothing.
func (s *Server) newRoutes() map[string]route {
	routes := map[string]route{
		"/":          {get: s.list, large: true},
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
		routes[apiEventsPath] = route{get: s.apiEvents, large: true}
	}
	return routes
}

// handle is the entrance of every request.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	s.answer(ctx)
	s.setConfiguredHeaders(ctx)
	if surplus(ctx) {
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
	case fixed && r.large:
		defer cpulimit.Acquire()()
		r.serve(ctx)
	case fixed:
		r.serve(ctx)
	case bytes.HasPrefix(path, apiScripts):
		s.apiRoute(path[len(apiScripts):]).serve(ctx)
	case !readOnly(ctx):
		refuseMethod(ctx, allowGet)
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
		refuseMethod(ctx, allowGet)
	case r.get == nil:
		refuseMethod(ctx, allowPost)
	default:
		refuseMethod(ctx, allowGet+", "+allowPost)
	}
}

// recoverPanic turns a panic of a handler into a 500. It must be deferred
// itself.
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

// logPanic says where a panic came from. It must be called by the deferred
// function that recovered it.
func (s *Server) logPanic(p any, path string) {
	s.log.Error(
		"panic in an http handler",
		zap.Any("panic", p),
		zap.String("path", path),
		zap.ByteString("stack", debug.Stack()),
	)
}

// exactPath returns the request's path, decoded, or nil when decoding was not
// all it took: fasthttp also removes "//", "/./" and "/../", written out or
// percent encoded, so that one resource would have many names.
// The result belongs to ctx.
func exactPath(ctx *fasthttp.RequestCtx) []byte {
	uri := ctx.URI()
	raw, path := uri.PathOriginal(), uri.Path()
	if len(raw) == 0 || raw[0] != '/' {
		return nil // GET x.stp, without a slash
	}
	if target := ctx.Request.Header.RequestURI(); target[0] == '/' && !bytes.HasPrefix(target, raw) {
		return nil // GET //host/x.stp, where fasthttp took the first part for a host
	}
	if decodedLen(raw) != len(path) {
		return nil
	}
	return path
}

// decodedLen returns the length of raw after percent decoding, in which a '%'
// without two hex digits stands for itself.
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

// scriptName returns the name of the script that path stands for. Whether there
// is one is for Scripts to say; names that no script can have are false at
// once.
func scriptName(path []byte) ([]byte, bool) {
	if !bytes.HasSuffix(path, scriptSuffix) {
		return nil, false
	}
	name := path[1:]
	return name, bytes.IndexByte(name, '/') < 0
}

// readOnly tells whether the request's method is GET or HEAD. fasthttp leaves
// the body out of a reply to HEAD.
func readOnly(ctx *fasthttp.RequestCtx) bool {
	return ctx.IsGet() || ctx.IsHead()
}

func setCommonHeaders(ctx *fasthttp.RequestCtx) {
	ctx.Response.Header.SetCanonical(headerNosniff, valueNosniff)
	ctx.Response.Header.SetCanonical(headerCacheControl, valueNoStore)
}

// plainError makes the reply a text. Headers that are already set stay.
func plainError(ctx *fasthttp.RequestCtx, code int, text string) {
	ctx.SetStatusCode(code)
	ctx.SetContentType(plainText)
	ctx.SetBodyString(text)
}

// What Allow says.
const (
	allowGet  = "GET, HEAD"
	allowPost = "POST"
)

// refuseMethod answers 405; allow is the list for the header.
func refuseMethod(ctx *fasthttp.RequestCtx, allow string) {
	ctx.Response.Header.Set(fasthttp.HeaderAllow, allow)
	plainError(
		ctx,
		fasthttp.StatusMethodNotAllowed,
		"method not allowed: use "+strings.ReplaceAll(allow, ", ", " or ")+"\n",
	)
}

func notFound(ctx *fasthttp.RequestCtx) {
	plainError(ctx, fasthttp.StatusNotFound, notFoundText)
}
