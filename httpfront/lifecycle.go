package httpfront

import (
	"errors"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"stap-exporter/internal/scrape"
)

// Lifecycle is what an operator may do by POST. Its methods are called from
// many goroutines at once. The first three return when the script is told, and
// do not wait for it; their errors match script.ErrUnknown or
// script.ErrShuttingDown, or say why the script may not be started.
type Lifecycle interface {
	StartScript(name string) error // whatever stopped it or holds it off
	// until StartScript, RestartScript, another version of its file, or another
	// start of the exporter
	StopScript(name string) error
	RestartScript(name string) error // from its file as it is then
	// looks through the scripts folder; an error leaves everything as it is
	Reload() error
}

// lifecycleOff is what Prometheus says, and what to do.
const lifecycleOff = "lifecycle API is not enabled: start the exporter with --web.enable-lifecycle"

const otherSite = "a page of another site sent this request"

// secFetchSite tells how the page that made a browser send the request stands
// to this server (W3C Fetch Metadata). Others than browsers do not send it.
var secFetchSite = []byte("Sec-Fetch-Site")

// barred says why nobody, or this client, may do anything; empty: it may. A
// browser that knows the login would send it along with what any page makes it
// post.
func (s *Server) barred(ctx *fasthttp.RequestCtx) string {
	if s.cfg.Lifecycle == nil || !s.cfg.EnableLifecycle {
		return lifecycleOff
	}
	if site := string(
		ctx.Request.Header.PeekBytes(secFetchSite),
	); site != "" && site != "same-origin" &&
		site != "none" {
		return otherSite
	}
	return ""
}

// apiDone is the answer to an accepted POST.
type apiDone struct {
	Script string `json:"script"` // its name
	Action string `json:"action"` // start, stop or restart: the script was told
}

// actions are what can be done to a script by POST.
var actions = map[string]func(Lifecycle, string) error{
	"start": Lifecycle.StartScript, "stop": Lifecycle.StopScript, "restart": Lifecycle.RestartScript,
}

// act returns what does action to the script called name, and false when there
// is no such action.
func (s *Server) act(name, action string) (fasthttp.RequestHandler, bool) {
	do, ok := actions[action]
	return func(ctx *fasthttp.RequestCtx) {
		if why := s.barred(ctx); why != "" {
			writeJSON(ctx, fasthttp.StatusForbidden, apiError{why})
			return
		}
		err := do(s.cfg.Lifecycle, name)
		switch {
		case err == nil:
			s.log.Info(
				"script told by an operator",
				zap.String("script", name),
				zap.String("action", action),
				zap.Stringer("client", ctx.RemoteAddr()),
			)
			writeJSON(ctx, fasthttp.StatusAccepted, apiDone{name, action})
		case errors.Is(err, scrape.ErrUnknown):
			apiNotFound(ctx)
		case errors.Is(err, scrape.ErrShuttingDown):
			writeJSON(ctx, fasthttp.StatusServiceUnavailable, apiError{err.Error()})
		default:
			writeJSON(ctx, fasthttp.StatusConflict, apiError{err.Error()})
		}
	}, ok
}

// reload reads the scripts folder and the web config file again. The answer
// comes when new scripts are served and removed ones are not.
func (s *Server) reload(ctx *fasthttp.RequestCtx) {
	if why := s.barred(ctx); why != "" {
		plainError(ctx, fasthttp.StatusForbidden, why+"\n")
		return
	}
	if err := errors.Join(s.cfg.Lifecycle.Reload(), s.ReloadWebConfig()); err != nil {
		s.log.Error("reload failed", zap.Error(err))
		plainError(ctx, fasthttp.StatusInternalServerError, printableLines(err.Error())+"\n")
		return
	}
	s.log.Info("reloaded", zap.Stringer("client", ctx.RemoteAddr()))
	ctx.SetContentType(plainText)
	ctx.SetBodyString("reloaded\n")
}
