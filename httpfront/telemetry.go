package httpfront

import (
	"net/http"
	"strings"

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
