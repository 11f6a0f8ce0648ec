package httpfront

import (
	"encoding/json"
	"net/http"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"
)

// telemetry makes a route of the handler that gives the exporter's own metrics. It is net/http's, as client_golang's is; it is not on the hot path.
func telemetry(h http.Handler) route {
	return route{get: fasthttpadaptor.NewFastHTTPHandler(h)}
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
