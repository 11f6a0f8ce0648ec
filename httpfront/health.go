package httpfront

import (
	"fmt"

	"github.com/valyala/fasthttp"

	"stap-exporter/internal/scrape"
)

// healthy says that the server answers requests, nothing more.
func (s *Server) healthy(ctx *fasthttp.RequestCtx) {
	ctx.SetContentType(plainText)
	ctx.SetBodyString("stap-exporter is healthy\n")
}

// ready answers 200 once no script that starts with the server still is in its
// first start: each runs, or has failed once. Until then, and once the server
// shuts down, the answer is 503.
// It names no script, since it is for everybody.
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
		plainError(
			ctx,
			fasthttp.StatusServiceUnavailable,
			fmt.Sprintf("not ready: %d of %d autostart scripts are still starting\n", pending, auto),
		)
		return
	}
	ctx.SetContentType(plainText)
	ctx.SetBodyString("stap-exporter is ready\n")
}

// firstStart tells whether the script's first start is still to come or under
// way.
func firstStart(st *scrape.Status) bool {
	return st.State == scrape.Idle && st.Run == 0 && !st.Paused || st.State == scrape.Starting && st.Run <= 1
}
