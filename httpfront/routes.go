package httpfront

import (
	"bytes"
	"runtime/debug"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
)

const (
	plainText         = "text/plain; charset=utf-8"
	notFoundText      = "script not found\nThe list of scripts is at /\n"
	internalErrorText = "internal error, the server's log says more\n"
)

// Header names in canonical form and values, as fasthttp takes them without a copy.
var (
	headerNosniff      = []byte("X-Content-Type-Options")
	headerCacheControl = []byte("Cache-Control")
	valueNosniff       = []byte("nosniff")
	valueNoStore       = []byte("no-store")

	scriptSuffix = []byte(".stp")
)

// newRoutes returns what answers each fixed path. Every other path is that of a script, or of nothing.
func (s *Server) newRoutes() map[string]fasthttp.RequestHandler {
	return map[string]fasthttp.RequestHandler{
		"/":          s.list,
		"/-/healthy": s.healthy,
	}
}

// handle is the entrance of every request.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	defer s.recoverPanic(ctx)
	setCommonHeaders(ctx)
	if !readOnly(ctx) {
		methodNotAllowed(ctx)
		return
	}
	path := exactPath(ctx)
	if serve, ok := s.routes[string(path)]; ok {
		serve(ctx)
		return
	}
	if name, ok := scriptName(path); ok {
		s.scrape(ctx, name)
		return
	}
	notFound(ctx)
}

// recoverPanic turns a panic of a handler into a 500. It must be deferred itself.
func (s *Server) recoverPanic(ctx *fasthttp.RequestCtx) {
	p := recover()
	if p == nil {
		return
	}
	s.log.Error("panic in an http handler", zap.Any("panic", p), zap.ByteString("path", ctx.Path()), zap.ByteString("stack", debug.Stack()))
	ctx.Response.Reset()
	setCommonHeaders(ctx)
	plainError(ctx, fasthttp.StatusInternalServerError, internalErrorText)
}

// exactPath returns the request's path, decoded, or nil when decoding was not all it took: fasthttp also removes "//", "/./" and "/../", written out or percent encoded, so that one resource would have many names.
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

// decodedLen returns the length of raw after percent decoding, in which a '%' without two hex digits stands for itself.
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

// scriptName returns the name of the script that path stands for. Whether there is one is for Scripts to say; names that no script can have are false at once.
func scriptName(path []byte) ([]byte, bool) {
	if !bytes.HasSuffix(path, scriptSuffix) {
		return nil, false
	}
	name := path[1:]
	return name, bytes.IndexByte(name, '/') < 0
}

// readOnly tells whether the request's method is GET or HEAD. fasthttp leaves the body out of a reply to HEAD.
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

func methodNotAllowed(ctx *fasthttp.RequestCtx) {
	ctx.Response.Header.Set(fasthttp.HeaderAllow, "GET, HEAD")
	plainError(ctx, fasthttp.StatusMethodNotAllowed, "method not allowed: use GET or HEAD\n")
}

func notFound(ctx *fasthttp.RequestCtx) {
	plainError(ctx, fasthttp.StatusNotFound, notFoundText)
}

// healthy says that the server answers requests, nothing more.
func (s *Server) healthy(ctx *fasthttp.RequestCtx) {
	ctx.SetContentType(plainText)
	ctx.SetBodyString("stap-exporter is healthy\n")
}
