package httpfront

import (
	"fmt"

	"github.com/valyala/fasthttp"

	"stap-exporter/internal/scrape"
)

// healthy answers 200: the server answers requests, nothing more.
func (s *Server) healthy(ctx *fasthttp.RequestCtx) {
	plainReply(ctx, "stap-exporter is healthy\n")
}

// ready answers 200 once each autostart script runs or has failed once. Until
// then, and during shutdown, it answers 503. It names no script, because it
// needs no login.
func (s *Server) ready(ctx *fasthttp.RequestCtx) {
	auto, pending := 0, 0
	for _, st := range s.cfg.Scripts.Statuses() {
		if st.State == scrape.Stopped {
			plainError(ctx, fasthttp.StatusServiceUnavailable, "not ready: shutting down\n")
			return
		}
		if st.Script.Autostart {
			auto++
			if firstStart(st) {
				pending++
			}
		}
	}
	if pending > 0 {
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, "1")
		text := fmt.Sprintf("not ready: %d of %d autostart scripts are still starting\n", pending, auto)
		plainError(ctx, fasthttp.StatusServiceUnavailable, text)
		return
	}
	plainReply(ctx, "stap-exporter is ready\n")
}

// firstStart reports whether the script's first start has not ended yet.
func firstStart(st *scrape.Status) bool {
	return st.State == scrape.Idle && st.Run == 0 && !st.Paused || st.State == scrape.Starting && st.Run <= 1
}
