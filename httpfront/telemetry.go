package httpfront

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"

	"stap-exporter/internal/cpulimit"
)

// telemetry returns the route of h, which sends the exporter's own metrics. It
// is a handler of net/http, like client_golang's, and not on the hot path.
func (s *Server) telemetry(h http.Handler) route {
	return route{get: fasthttpadaptor.NewFastHTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { // here, because the adaptor runs it in its own goroutine
			if p := recover(); p != nil {
				s.logPanic(p, r.URL.Path)
				http.Error(w, strings.TrimSpace(internalErrorText), http.StatusInternalServerError)
			}
		}()
		page := &largePage{ResponseWriter: w}
		defer page.end()
		h.ServeHTTP(page, r)
	}))}
}

// largePage acquires a CPU permit at the first write. The metrics are collected
// by then; collecting waits for a scan of all processes.
type largePage struct {
	http.ResponseWriter
	release func() // of the permit; nil before the first write
}

func (p *largePage) Write(b []byte) (int, error) {
	if p.release == nil {
		p.release = cpulimit.Acquire()
	}
	return p.ResponseWriter.Write(b)
}

func (p *largePage) end() {
	if p.release != nil {
		p.release()
	}
}

const apiEventsPath = "/api/v1/events"

// apiEventsReply is the answer of /api/v1/events.
type apiEventsReply struct {
	Events any `json:"events"` // oldest first, at most 1,000
}

// apiEvents sends the last events of all scripts.
func (s *Server) apiEvents(ctx *fasthttp.RequestCtx) {
	body, err := json.Marshal(apiEventsReply{s.cfg.Events()})
	if err != nil {
		panic(err) // a bug: all fields can be marshaled
	}
	ctx.SetContentType("application/json")
	ctx.SetBody(body)
}
