package httpfront

import (
	"bytes"
	"net/http"

	"github.com/valyala/fasthttp"

	"stap-exporter/internal/cpulimit"
)

// telemetry returns the route of h, which sends the exporter's own metrics. It
// is a handler of net/http, like client_golang's.
func (s *Server) telemetry(h http.Handler) route {
	return route{get: func(ctx *fasthttp.RequestCtx) {
		page, ok := s.shared(ctx, "telemetry", func() *page { return telemetryPage(h, s.cfg.TelemetryPath) })
		if ok {
			writeGzipPage(ctx, page)
		}
	}}
}

// telemetryPage returns what h answers to a request without headers: the text
// format, not compressed.
func telemetryPage(h http.Handler, path string) *page {
	r, err := http.NewRequest(http.MethodGet, path, nil)
	if err != nil {
		panic(err) // a bug: the flag was checked
	}
	w := &pageWriter{header: http.Header{}}
	defer w.end()
	h.ServeHTTP(w, r)
	if w.code == 0 {
		w.code = http.StatusOK
	}
	return &page{code: w.code, contentType: w.header.Get("Content-Type"), body: w.body.Bytes()}
}

// pageWriter keeps a reply. It acquires a CPU permit at the first write: the
// metrics are collected by then, and collecting waits for a scan of all
// processes.
type pageWriter struct {
	header  http.Header
	code    int // 0 before WriteHeader
	body    bytes.Buffer
	release func() // of the permit; nil before the first write
}

func (w *pageWriter) Header() http.Header { return w.header }

func (w *pageWriter) WriteHeader(code int) {
	if w.code == 0 {
		w.code = code
	}
}

func (w *pageWriter) Write(b []byte) (int, error) {
	if w.release == nil {
		w.release = cpulimit.Acquire()
	}
	return w.body.Write(b)
}

func (w *pageWriter) end() {
	if w.release != nil {
		w.release()
	}
}
