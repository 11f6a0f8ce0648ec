package httpfront

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"stap-exporter/httpfront/accept"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
	"stap-exporter/internal/trust"
)

// usualRetry is the Retry-After where nothing better is known.
const usualRetry = 10 * time.Second

// refreshHint is how the reply for a script that is not running yet begins; the
// manual page shows it.
const refreshHint = "Refresh page to access metrics."

// An outcome is an answer that is not a 200, ready to be written.
type outcome struct {
	code  int
	retry time.Duration // Retry-After, rounded up to whole seconds; none when 0
	text  string        // the body, ending in a newline
	page  bool          // a browser gets the page that refreshes itself
}

// explain answers a request that got no metrics.
func (s *Server) explain(ctx *fasthttp.RequestCtx, answer scrape.Answer) {
	if errors.Is(answer.Err, scrape.ErrClientGone) {
		s.clientLeft(ctx)
		return
	}
	now := s.now()
	o := outcomeOf(answer, now)
	answer.Status.Count(o.code)
	if o.code == fasthttp.StatusInternalServerError && !errors.Is(answer.Err, scrape.ErrInternal) &&
		!errors.Is(answer.Err, script.ErrInvalidHeader) {
		s.log.Error("unexpected answer to a scrape", zap.ByteString("path", ctx.Path()), zap.Error(answer.Err))
	}
	if o.retry > 0 {
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, strconv.Itoa(wholeSeconds(o.retry)))
	}
	if o.page {
		ctx.Response.Header.Set(fasthttp.HeaderVary, fasthttp.HeaderAccept)
		if accept.PrefersHTML(ctx.Request.Header.Peek(fasthttp.HeaderAccept)) {
			s.writePage(ctx, o.code, "warming", warmingView(o, answer.Status, now))
			return
		}
	}
	plainError(ctx, o.code, o.text)
}

// clientLeft ends a request whose client has left while it was waiting. It is
// no answer of the script's; one who closed only the sending side of the
// connection reads it.
func (s *Server) clientLeft(ctx *fasthttp.RequestCtx) {
	s.left.Add(1)
	ctx.SetConnectionClose()
	plainError(
		ctx,
		fasthttp.StatusServiceUnavailable,
		"connection was closed by the client while the request was waiting\n",
	)
}

// outcomeOf says what an answer without metrics is in HTTP.
func outcomeOf(answer scrape.Answer, now time.Time) outcome {
	st := answer.Status
	if st == nil {
		st = &scrape.Status{}
	}
	name := "the script"
	if st.Script.Name != "" {
		name = printable(st.Script.Name)
	}

	switch err := answer.Err; {
	case errors.Is(err, scrape.ErrUnknown):
		return outcome{code: fasthttp.StatusNotFound, text: notFoundText}
	case errors.Is(err, scrape.ErrNotRunning):
		text := refreshHint + "\n\n" + name + " " + doing(st, now) + "\n"
		if st.LastStart > 0 {
			text += "Its last start took " + spell(st.LastStart) + "\n"
		}
		if st.Reason != "" {
			text += "\nIts last run: " + printableLines(st.Reason) + "\n"
		}
		return outcome{
			code:  fasthttp.StatusServiceUnavailable,
			retry: startRetry(st, now),
			text:  text,
			page:  true,
		}
	case errors.Is(err, scrape.ErrBackingOff):
		retry, text := usualRetry, name+" failed and is held off"
		if !st.RetryAt.IsZero() {
			retry = max(st.RetryAt.Sub(now), 1)
			text += ", it can start again in " + spell(time.Duration(wholeSeconds(retry))*time.Second)
		}
		if st.CrashLoop {
			text += fmt.Sprintf(
				"\nIt is in a crash loop: %d ends in a row, none after ten minutes of health",
				st.ConsecutiveFailures,
			)
		}
		if st.Reason != "" {
			text += "\n\n" + printableLines(st.Reason)
		}
		return outcome{code: fasthttp.StatusServiceUnavailable, retry: retry, text: text + "\n"}
	case errors.Is(err, scrape.ErrPaused):
		return outcome{
			code:  fasthttp.StatusServiceUnavailable,
			retry: usualRetry,
			text:  name + " was stopped by an operator, and runs again when one starts it or its file changes\n",
		}
	case errors.Is(err, scrape.ErrOverLimit):
		return outcome{
			code:  fasthttp.StatusServiceUnavailable,
			retry: time.Second,
			text:  "too many requests wait for " + name + " already\n",
		}
	case errors.Is(err, scrape.ErrReadTimeout):
		return outcome{code: fasthttp.StatusGatewayTimeout, text: name + " is running, but gave no metrics in time\n"}
	case errors.Is(err, scrape.ErrReadFailed), errors.Is(err, scrape.ErrNoValidSamples):
		return outcome{code: fasthttp.StatusBadGateway, text: name + ": " + printableLines(err.Error()) + "\n"}
	case errors.Is(err, trust.ErrUntrusted):
		return outcome{
			code: fasthttp.StatusForbidden,
			text: name + " is not run: " + printableLines(err.Error()) + "\n",
		}
	case errors.Is(err, script.ErrInvalidHeader):
		return outcome{
			code: fasthttp.StatusInternalServerError,
			text: name + " is not run: " + printableLines(err.Error()) + "\n",
		}
	case errors.Is(err, scrape.ErrShuttingDown):
		return outcome{code: fasthttp.StatusServiceUnavailable, retry: usualRetry, text: "exporter is shutting down\n"}
	default:
		return outcome{code: fasthttp.StatusInternalServerError, text: internalErrorText}
	}
}

// startRetry says when a starting script is likely to be up: as its last start
// took, or as usual where there was none.
func startRetry(st *scrape.Status, now time.Time) time.Duration {
	last := st.LastStart
	if st.Compiling {
		last = st.LastCompile // the latest may have taken the module out of the cache
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

// doing says what a script is doing and for how long, to follow its name in a
// sentence.
func doing(st *scrape.Status, now time.Time) string {
	lasting := ""
	if !st.Since.IsZero() {
		lasting = " for " + spell(now.Sub(st.Since))
	}
	switch st.State {
	case scrape.Idle:
		return "is about to start"
	case scrape.Starting:
		text := "has been starting" + lasting
		if st.Activity != "" {
			text += ": " + printable(st.Activity)
		}
		return text
	case scrape.Stopping:
		return "has been stopping" + lasting + " and starts again after that"
	case scrape.Running:
		return "is running now" // it became ready when the time was up
	case scrape.BackingOff, scrape.Stopped:
	}
	return "has been " + st.State.String() + lasting
}

// spell writes a duration in words short enough for a line, at most two units:
// "0 s", "12 s", "3 min 20 s", "2 h 5 min", "4 d 1 h". Parts of a second are
// cut, a negative duration is "0 s".
func spell(d time.Duration) string {
	s := max(int64(d/time.Second), 0)
	two := func(big int64, bigUnit string, small int64, smallUnit string) string {
		if small == 0 {
			return fmt.Sprintf("%d %s", big, bigUnit)
		}
		return fmt.Sprintf("%d %s %d %s", big, bigUnit, small, smallUnit)
	}
	switch {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return two(s/60, "min", s%60, "s")
	case s < 86400:
		return two(s/3600, "h", s%3600/60, "min")
	default:
		return two(s/86400, "d", s%86400/3600, "h")
	}
}

// wholeSeconds rounds up, to at least 1, as Retry-After wants it.
func wholeSeconds(d time.Duration) int {
	return max(int((d+time.Second-1)/time.Second), 1)
}

// printable makes one harmless line of a file name or message: what a terminal
// or browser would not show as a character of its own becomes U+FFFD.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return utf8.RuneError
	}, s)
}

// printableLines does the same to a text of several lines, without blank lines
// at its end; a tab stays.
func printableLines(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return utf8.RuneError
	}, strings.TrimRight(s, "\n"))
}
