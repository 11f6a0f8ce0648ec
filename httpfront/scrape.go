package httpfront

import (
	"time"

	"github.com/valyala/fasthttp"

	"stap-exporter/httpfront/accept"
	"stap-exporter/internal/exposition"
	"stap-exporter/internal/scrape"
)

const (
	// replyMargin is how long before Prometheus's timeout the reply must be
	// sent, as in blackbox_exporter.
	replyMargin = 500 * time.Millisecond
	// readSlack is added to the time of two reads for a request without a
	// timeout: the read that ran when it came, and its own.
	readSlack = 250 * time.Millisecond
	// maxTimeout replaces a longer timeout; it prevents an overflow.
	maxTimeout = 24 * time.Hour
)

var headerTimeout = []byte("X-Prometheus-Scrape-Timeout-Seconds")

// scrape sends the metrics of the script called name, or the reason why there
// are none. name belongs to ctx.
func (s *Server) scrape(ctx *fasthttp.RequestCtx, name []byte) {
	q := s.query(ctx)
	q.Form = formOf(ctx)
	answer := s.cfg.Scripts.Scrape(name, q)
	if answer.Err != nil {
		s.explain(ctx, answer)
		return
	}
	writeMetrics(ctx, answer.Page, q.Form)
	answer.Status.Count(fasthttp.StatusOK)
}

// formOf returns the form in which the client wants metrics.
func formOf(ctx *fasthttp.RequestCtx) exposition.Form {
	form := exposition.Form{Gzip: accept.AllowsGzip(ctx.Request.Header.Peek(fasthttp.HeaderAcceptEncoding))}
	if accept.PrefersOpenMetrics(ctx.Request.Header.Peek(fasthttp.HeaderAccept)) {
		form.Format = exposition.FormatOpenMetrics
	}
	return form
}

// writeMetrics sends a page. It neither copies nor keeps the bytes, which all
// replies of one read share.
func writeMetrics(ctx *fasthttp.RequestCtx, page *exposition.Page, form exposition.Form) {
	h := &ctx.Response.Header
	h.SetContentType(form.Format.ContentType())
	h.SetCanonical(headerVary, valueVary)
	if form.Gzip {
		h.SetContentEncoding("gzip")
	}
	ctx.Response.SetBodyRaw(page.Render(form))
}

// query returns the deadline of the request. A client with a valid timeout
// header also waits for a script that is not running yet.
func (s *Server) query(ctx *fasthttp.RequestCtx) scrape.Query {
	now := s.now()
	timeout, ok := parseTimeout(ctx.Request.Header.PeekBytes(headerTimeout))
	if !ok {
		return scrape.Query{Deadline: now.Add(2*s.cfg.ReadTimeout + readSlack), Client: clientOf(ctx)}
	}
	wait := timeout - replyMargin
	if wait <= 0 {
		wait = timeout / 2
	}
	return scrape.Query{Deadline: now.Add(min(wait, s.cfg.StartTimeout)), Wait: true, Client: clientOf(ctx)}
}

// parseTimeout parses a decimal number of seconds, such as "10" or "9.5", to
// the nanosecond. It returns false for anything else: an empty value, zero, a
// sign, an exponent, Inf, NaN.
func parseTimeout(value []byte) (time.Duration, bool) {
	var total time.Duration
	unit := time.Second // of the next digit
	digits, point := 0, false
	for _, c := range value {
		switch {
		case '0' <= c && c <= '9':
			digits++
			d := time.Duration(c - '0')
			if point {
				unit /= 10
				total += d * unit
			} else {
				total = min(total*10+d*time.Second, maxTimeout)
			}
		case c == '.' && !point:
			point = true
		default:
			return 0, false
		}
	}
	return total, digits > 0 && total > 0
}
