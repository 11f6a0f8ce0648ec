package httpfront

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"stap-exporter/httpfront/accept"
	"stap-exporter/httpfront/internal/display"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
	"stap-exporter/internal/trust"
)

// What every status code means. R marks replies with a Retry-After header.
//
//	code    when                                                  decided in
//	200     metrics, pages, API; reload done
//	202     start, stop or restart of a script was accepted       lifecycle.go
//	400     malformed request                                     rejectRequest
//	        plain HTTP to a port with TLS                         conn.go
//	        /sd: unknown mode, unusable Host header               sd.go
//	401     no login or a wrong one                               admit.go
//	403     script is not trusted (trust.ErrUntrusted)            outcomeOf
//	        lifecycle API is off                                  lifecycle.go
//	        a page of another site posted                         crossorigin.go
//	404     no such script, path or action                        outcomeOf, all.go, routes.go, api.go
//	405     method not allowed here, see Allow                    routes.go, rejectRequest
//	408     request did not arrive in time                        rejectRequest
//	409     script cannot be started, see the body                lifecycleCode
//	413     body of a GET is too large                            rejectRequest
//	414     request target is too long                            rejectRequest
//	417     Expect is not supported on this request               fasthttp
//	429  R  rate limit of the web config                          admit.go
//	431     request header is too large                           rejectRequest
//	500     header is invalid (script.ErrInvalidHeader)           outcomeOf
//	     R  script actor failed, see the body (ErrInternal)       outcomeOf
//	        reload failed, see the body                           lifecycle.go
//	        a bug: panic or unexpected error, see the log         routes.go, telemetry.go, outcomeOf
//	502     script's metrics cannot be read (ErrReadFailed)       outcomeOf
//	        script's text has no valid sample (ErrNoValidSamples) outcomeOf
//	503  R  script is not running yet (ErrNotRunning)             outcomeOf
//	     R  script failed and is in back-off (ErrBackingOff)      outcomeOf
//	     R  script was paused by an operator (ErrPaused)          outcomeOf
//	     R  too many requests wait for the script (ErrOverLimit)  outcomeOf
//	     R  exporter is shutting down (ErrShuttingDown)           outcomeOf
//	        the same, for start, stop and restart                 lifecycleCode
//	        client closed its sending side (ErrClientGone)        clientGone
//	     R  too many connections are open                         connlimit.go
//	     R  too many requests for /all (--web.max-requests)       permit.go
//	     R  too many logins wait for their check                  admit.go
//	     R  /-/ready: autostart scripts are still starting        health.go
//	        /-/ready: shutting down                               health.go
//	504     script runs, but its metrics did not arrive in time   outcomeOf
//	        (ErrReadTimeout)
//
// The errors are those of package scrape unless another is named.

// usualRetry is the Retry-After when nothing better is known.
const usualRetry = 10 * time.Second

const (
	// refreshHint begins the reply for a script that is not running yet. The
	// man page quotes it.
	refreshHint       = "Refresh page to access metrics."
	notFoundText      = "script not found\nThe list of scripts is at /\n"
	internalErrorText = "internal error, see the server's log\n"
)

// An outcome is a reply that is not a 200, ready to be written.
type outcome struct {
	code  int
	retry time.Duration // Retry-After, rounded up to whole seconds; none when 0
	text  string        // the body, ending in a newline
	page  bool          // a browser gets the page that refreshes itself
	bug   bool          // the error is not one that Scripts may return: log it
}

// explain answers a request for a script that got no metrics.
func (s *Server) explain(ctx *fasthttp.RequestCtx, answer scrape.Answer) {
	if errors.Is(answer.Err, scrape.ErrClientGone) {
		s.clientGone(ctx)
		return
	}
	now := s.now()
	o := outcomeOf(answer, now)
	answer.Status.Count(o.code)
	if o.bug {
		s.log.Error("unexpected answer to a scrape", zap.ByteString("path", ctx.Path()), zap.Error(answer.Err))
	}
	if o.retry > 0 {
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, strconv.Itoa(display.WholeSeconds(o.retry)))
	}
	if o.page {
		ctx.Response.Header.Set(fasthttp.HeaderVary, fasthttp.HeaderAccept)
		if accept.PrefersHTML(ctx.Request.Header.Peek(fasthttp.HeaderAccept)) {
			writePage(ctx, htmlPage(o.code, "starting", startingViewOf(o, answer.Status, now)))
			return
		}
	}
	plainError(ctx, o.code, o.text)
}

// clientGone ends a request whose client disconnected while it waited. It does
// not count as a reply of the script. A client that closed only its sending
// side can read the reply.
func (s *Server) clientGone(ctx *fasthttp.RequestCtx) {
	s.disconnects.Add(1)
	ctx.SetConnectionClose()
	text := "connection was closed by the client while the request was waiting\n"
	plainError(ctx, fasthttp.StatusServiceUnavailable, text)
}

// outcomeOf returns the reply for an answer without metrics.
func outcomeOf(answer scrape.Answer, now time.Time) outcome {
	st := answer.Status
	if st == nil {
		st = &scrape.Status{}
	}
	name := "the script"
	if st.Script.Name != "" {
		name = display.Printable(st.Script.Name)
	}

	switch err := answer.Err; {
	case errors.Is(err, scrape.ErrUnknown):
		return outcome{code: fasthttp.StatusNotFound, text: notFoundText}
	case errors.Is(err, scrape.ErrNotRunning):
		return notRunning(name, st, now)
	case errors.Is(err, scrape.ErrBackingOff):
		return backingOff(name, st, now)
	case errors.Is(err, scrape.ErrPaused):
		return outcome{
			code:  fasthttp.StatusServiceUnavailable,
			retry: usualRetry,
			text:  name + " was paused by an operator; it runs again when an operator starts it or its file changes\n",
		}
	case errors.Is(err, scrape.ErrOverLimit):
		return outcome{
			code:  fasthttp.StatusServiceUnavailable,
			retry: time.Second,
			text:  "too many requests wait for " + name + "\n",
		}
	case errors.Is(err, scrape.ErrShuttingDown):
		return outcome{code: fasthttp.StatusServiceUnavailable, retry: usualRetry, text: "exporter is shutting down\n"}
	case errors.Is(err, scrape.ErrReadTimeout):
		text := name + " is running, but its metrics did not arrive in time\n"
		return outcome{code: fasthttp.StatusGatewayTimeout, text: text}
	case errors.Is(err, scrape.ErrReadFailed), errors.Is(err, scrape.ErrNoValidSamples):
		return outcome{code: fasthttp.StatusBadGateway, text: name + ": " + display.PrintableLines(err.Error()) + "\n"}
	case errors.Is(err, trust.ErrUntrusted):
		text := name + " is not run: " + display.PrintableLines(err.Error()) + "\n"
		return outcome{code: fasthttp.StatusForbidden, text: text}
	case errors.Is(err, script.ErrInvalidHeader):
		text := name + " is not run: " + display.PrintableLines(err.Error()) + "\n"
		return outcome{code: fasthttp.StatusInternalServerError, text: text}
	case errors.Is(err, scrape.ErrInternal):
		return actorFailed(name, err, st, now)
	default:
		return outcome{code: fasthttp.StatusInternalServerError, text: internalErrorText, bug: true}
	}
}

func notRunning(name string, st *scrape.Status, now time.Time) outcome {
	text := refreshHint + "\n\n" + name + " " + doing(st, now) + "\n"
	if st.LastStart > 0 {
		text += "Its last start took " + display.Spell(st.LastStart) + "\n"
	}
	if st.Reason != "" {
		text += "\nIts last run: " + display.PrintableLines(st.Reason) + "\n"
	}
	return outcome{
		code:  fasthttp.StatusServiceUnavailable,
		retry: startRetry(st, now),
		text:  text,
		page:  true,
	}
}

func backingOff(name string, st *scrape.Status, now time.Time) outcome {
	retry, text := usualRetry, name+" failed and is in back-off"
	if !st.RetryAt.IsZero() {
		retry = max(st.RetryAt.Sub(now), 1)
		text += ", it can start again in " + display.Spell(time.Duration(display.WholeSeconds(retry))*time.Second)
	}
	if st.CrashLoop {
		text += fmt.Sprintf(
			"\nIt is in a crash loop: %d consecutive failures, each before it ran well for ten minutes",
			st.ConsecutiveFailures,
		)
	}
	if st.Reason != "" {
		text += "\n\n" + display.PrintableLines(st.Reason)
	}
	return outcome{code: fasthttp.StatusServiceUnavailable, retry: retry, text: text + "\n"}
}

// actorFailed is the outcome for a script whose actor panicked, or panics so
// often that it is in back-off.
func actorFailed(name string, err error, st *scrape.Status, now time.Time) outcome {
	o := outcome{
		code: fasthttp.StatusInternalServerError,
		text: name + ": " + display.PrintableLines(err.Error()) + "\n",
	}
	if !st.RetryAt.IsZero() {
		o.retry = max(st.RetryAt.Sub(now), 1)
	}
	if reason := display.PrintableLines(st.Reason); reason != "" && !strings.Contains(o.text, reason) {
		o.text += "\n" + reason + "\n"
	}
	return o
}

// codeOf returns the status code that a script's answer counts as.
func codeOf(answer scrape.Answer, now time.Time) int {
	if answer.Err == nil {
		return fasthttp.StatusOK
	}
	return outcomeOf(answer, now).code
}

// lifecycleCode returns the status code for an error of Lifecycle about a
// script.
func lifecycleCode(err error) int {
	switch {
	case errors.Is(err, scrape.ErrUnknown):
		return fasthttp.StatusNotFound
	case errors.Is(err, scrape.ErrShuttingDown):
		return fasthttp.StatusServiceUnavailable
	default:
		return fasthttp.StatusConflict
	}
}

// rejectRequest answers what never became a request: a malformed or too large
// one, or one that did not arrive in time. fasthttp calls it and then closes
// the connection.
func (s *Server) rejectRequest(ctx *fasthttp.RequestCtx, err error) {
	ctx.Response.Reset()
	setCommonHeaders(ctx)
	s.setConfiguredHeaders(ctx)
	ctx.Response.SkipBody = ctx.IsHead()

	_, tooBig := errors.AsType[*fasthttp.ErrSmallBuffer](err)
	netErr, isNet := errors.AsType[net.Error](err)
	late := isNet && netErr.Timeout()
	p := peerOf(ctx)
	if p != nil && !late {
		p.socket().linger.Store(true)
	}
	switch {
	case tooBig && p != nil && p.lineLength() >= maxHeaderBytes:
		// not even the request line is complete
		plainError(ctx, fasthttp.StatusRequestURITooLong, "request target too long\n")
	case tooBig:
		plainError(ctx, fasthttp.StatusRequestHeaderFieldsTooLarge, "request header too large\n")
	case late && rejectOverLimit(ctx):
		// its deadline is short: on a busy machine it may pass before the bytes
		// that arrived are read
	case late:
		plainError(ctx, fasthttp.StatusRequestTimeout, "request did not arrive in time\n")
	case errors.Is(err, fasthttp.ErrBodyTooLarge) && !readOnly(ctx):
		rejectMethod(ctx, allowGet) // whatever the path: none takes a body of this size
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		plainError(ctx, fasthttp.StatusRequestEntityTooLarge, "request body too large\n")
	default:
		plainError(ctx, fasthttp.StatusBadRequest, "malformed request\n")
		s.countRejected(fasthttp.StatusBadRequest, ctx.RemoteAddr())
	}
}

// startRetry estimates when a starting script will run: after the time that its
// last start took, or after usualRetry when there was none.
func startRetry(st *scrape.Status, now time.Time) time.Duration {
	last := st.LastStart
	if st.Compiling {
		last = st.LastCompile // the last start may have loaded the module from the cache
	}
	switch {
	case last == 0 || st.QueuePosition > 0:
		return usualRetry
	case st.State == scrape.Starting:
		return max(last-now.Sub(st.Since), 1)
	default:
		return last
	}
}

// doing describes what a script does and for how long, to follow its name in a
// sentence.
func doing(st *scrape.Status, now time.Time) string {
	duration := ""
	if !st.Since.IsZero() {
		duration = " for " + display.Spell(now.Sub(st.Since))
	}
	switch st.State {
	case scrape.Idle:
		return "is about to start"
	case scrape.Starting:
		text := "has been starting" + duration
		if st.Activity != "" {
			text += ": " + display.Printable(st.Activity)
		}
		return text
	case scrape.Stopping:
		return "has been stopping" + duration + " and starts again after that"
	case scrape.Running:
		return "is running now" // it became ready at the deadline
	case scrape.BackingOff, scrape.Stopped:
	}
	return "has been " + st.State.String() + duration
}
