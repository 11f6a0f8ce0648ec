package httpfront

import (
	"encoding/json"
	"net/http"
	"runtime"
	"strings"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"
)

// telemetry makes a route of the handler that gives the exporter's own metrics. It is net/http's, as client_golang's is; it is not on the hot path.
func (s *Server) telemetry(h http.Handler) route {
	return route{large: true, get: fasthttpadaptor.NewFastHTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { // here, since the adaptor runs it in a goroutine of its own
			if p := recover(); p != nil {
				s.logPanic(p, r.URL.Path)
				http.Error(w, strings.TrimSpace(internalErrorText), http.StatusInternalServerError)
			}
		}()
		h.ServeHTTP(courteous{w}, r)
	}))}
}

// courteous lets other goroutines run after every few KB of a page that is written bit by bit.
type courteous struct{ http.ResponseWriter }

func (c courteous) Write(b []byte) (int, error) {
	runtime.Gosched()
	return c.ResponseWriter.Write(b)
}

const apiEventsPath = "/api/v1/events"

// apiEventsReply is the answer of /api/v1/events.
type apiEventsReply struct {
	Events any `json:"events"` // the oldest first, at most 1,000
}

// apiEvents answers with the last events of all scripts.
func (s *Server) apiEvents(ctx *fasthttp.RequestCtx) {
	body, err := json.Marshal(apiEventsReply{s.cfg.Events()})
	if err != nil {
		panic(err) // of fields that always marshal
	}
	ctx.SetContentType("application/json")
	ctx.SetBody(body)
}
