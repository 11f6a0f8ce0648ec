package httpfront

import (
	"errors"

	"stap-exporter/httpfront/api"
	"stap-exporter/httpfront/crossorigin"
	"stap-exporter/httpfront/internal/display"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
)

// Lifecycle is what an operator may do by POST. Its methods may be called from
// many goroutines at once.
//
// The first three return once the script has the request, and do not wait for
// its effect. Their errors match scrape.ErrUnknown or scrape.ErrShuttingDown, or
// explain why the script cannot be started.
type Lifecycle interface {
	// StartScript starts a script that is paused, in back-off or idle.
	StartScript(name string) error
	// StopScript stops a script. It stays paused until StartScript,
	// RestartScript, a new version of its file, or the exporter's next start.
	StopScript(name string) error
	// RestartScript stops a script and starts it from the current file.
	RestartScript(name string) error
	// Reload reads the script directory again. After an error nothing has
	// changed.
	Reload() error
}

// lifecycleOff begins with Prometheus's own words for it.
const lifecycleOff = "lifecycle API is not enabled: start the exporter with --web.enable-lifecycle"

// forbidden returns why this client may not use the lifecycle API, empty when
// it may.
func (s *Server) forbidden(ctx *fasthttp.RequestCtx) string {
	if s.cfg.Lifecycle == nil || !s.cfg.EnableLifecycle {
		return lifecycleOff
	}
	header := &ctx.Request.Header
	return crossorigin.Refusal(crossorigin.POST{
		Host:      string(header.Host()),
		FetchSite: string(header.Peek("Sec-Fetch-Site")),
		Origin:    string(header.Peek(fasthttp.HeaderOrigin)),
	}, s.cfg.ExternalURL)
}

// actions are the operations on a script by POST.
var actions = map[string]func(Lifecycle, string) error{
	"start": Lifecycle.StartScript, "stop": Lifecycle.StopScript, "restart": Lifecycle.RestartScript,
}

// action returns the handler for an action on the script called name, and false
// when there is no such action.
func (s *Server) action(name, action string) (fasthttp.RequestHandler, bool) {
	do, ok := actions[action]
	return func(ctx *fasthttp.RequestCtx) {
		if why := s.forbidden(ctx); why != "" {
			writeJSON(ctx, fasthttp.StatusForbidden, api.Error{Error: why})
			return
		}
		if err := do(s.cfg.Lifecycle, name); err != nil {
			writeJSON(ctx, lifecycleCode(err), api.Error{Error: err.Error()})
			return
		}
		s.log.Info(
			"operator request accepted",
			zap.String("script", name),
			zap.String("action", action),
			zap.Stringer("client", ctx.RemoteAddr()),
		)
		writeJSON(ctx, fasthttp.StatusAccepted, api.Accepted{Script: name, Action: action})
	}, ok
}

// reload reads the script directory and the web config file again. The reply
// comes when new scripts are served and removed ones are not.
func (s *Server) reload(ctx *fasthttp.RequestCtx) {
	if why := s.forbidden(ctx); why != "" {
		plainError(ctx, fasthttp.StatusForbidden, why+"\n")
		return
	}
	if err := errors.Join(s.cfg.Lifecycle.Reload(), s.ReloadWebConfig()); err != nil {
		s.log.Error("reload failed", zap.Error(err))
		plainError(ctx, fasthttp.StatusInternalServerError, display.PrintableLines(err.Error())+"\n")
		return
	}
	s.log.Info("reloaded", zap.Stringer("client", ctx.RemoteAddr()))
	plainReply(ctx, "reloaded\n")
}
