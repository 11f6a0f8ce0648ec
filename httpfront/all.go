package httpfront

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"stap-exporter/httpfront/internal/display"
	"stap-exporter/internal/exposition"
	"stap-exporter/internal/scrape"
)

// allPath is the page with the metrics of all scripts.
const allPath = "/all"

// part is one script's part of that page.
type part struct {
	name       string
	page       *exposition.Page // nil: no metrics in time
	duration   time.Duration
	clientGone bool // the client disconnected while it waited
}

// all sends the metrics of the running scripts on one page. Each sample has the
// label script with the script's name.
//
// It starts nothing and renews no keepalive, unless the client selects scripts
// with ?name[]=…: then it counts as a request for each of them. A script that
// is down, slow or unreadable lacks its samples; the scrape succeeds.
func (s *Server) all(ctx *fasthttp.RequestCtx) {
	if s.closed.Load() {
		s.explain(ctx, scrape.Answer{Err: scrape.ErrShuttingDown})
		return
	}
	if !s.acquirePermit(ctx) {
		return
	}
	q := s.query(ctx)
	var names []string
	for _, name := range ctx.QueryArgs().PeekMulti("name[]") {
		if !slices.Contains(names, string(name)) { // selected twice: one request
			names = append(names, string(name))
		}
	}
	if len(names) == 0 {
		q.Passive, q.Wait = true, false
		for _, st := range s.cfg.Scripts.Statuses() {
			if st.Script.Refused == nil {
				names = append(names, st.Script.Name)
			}
		}
	}
	// A slow read is dropped, so that the page with the others is in time.
	q.Deadline = s.now().Add(min(q.Deadline.Sub(s.now()), s.cfg.ReadTimeout+readSlack))
	parts := s.readAll(names, q)
	if slices.ContainsFunc(parts, func(p part) bool { return p.clientGone }) || isGone(q.Client) {
		s.clientGone(ctx)
		return
	}
	if unknown := s.unknown(parts); unknown != "" && !q.Passive {
		// only when selected: another script may be removed meanwhile
		text := fmt.Sprintf("script not found: %s\nThe list of scripts is at /\n", display.Printable(unknown))
		plainError(ctx, fasthttp.StatusNotFound, text)
		return
	}
	sources := []exposition.Source{{Page: ownPage(parts)}}
	for _, p := range parts {
		sources = append(sources, exposition.Source{Script: p.name, Page: p.page})
	}
	writeMetrics(ctx, exposition.Merge(sources), formOf(ctx))
}

// readAll runs allParallel reads at a time. A read that takes longer than
// allSlotTime gives up its slot, so that it delays no other.
const (
	allParallel = 8
	allSlotTime = 20 * time.Millisecond
)

// readAll requests the metrics of all scripts, a few at a time, so that a
// scrape of one of them meanwhile does not wait for a CPU behind all the
// others. Each script answers by the deadline.
func (s *Server) readAll(names []string, q scrape.Query) []part {
	parts := make([]part, len(names))
	var reads sync.WaitGroup
	slots := make(chan struct{}, allParallel)
	for i, name := range names {
		slots <- struct{}{}
		if isGone(q.Client) { // then nothing more is read for it
			parts[i].clientGone = true
			break
		}
		release := sync.OnceFunc(func() { <-slots })
		late := time.AfterFunc(allSlotTime, release)
		reads.Go(func() {
			defer release()
			defer late.Stop()
			begin := time.Now()
			answer := s.scrapePart(name, q)
			parts[i] = part{
				name:       name,
				page:       answer.Page,
				duration:   time.Since(begin),
				clientGone: errors.Is(answer.Err, scrape.ErrClientGone),
			}
			if !q.Passive && answer.Status != nil && !parts[i].clientGone {
				answer.Status.Count(codeOf(answer, s.now()))
			}
		})
	}
	reads.Wait()
	return parts
}

// isGone reports whether a client, which may be nil, has disconnected.
func isGone(client scrape.Client) bool { return client != nil && client.Gone() }

// scrapePart requests the metrics of one script. It runs in its own goroutine,
// where a panic would end the process; here the script only lacks its samples.
func (s *Server) scrapePart(name string, q scrape.Query) (answer scrape.Answer) {
	defer func() {
		if p := recover(); p != nil {
			s.logPanic(p, allPath)
			answer = scrape.Answer{Err: scrape.ErrInternal}
		}
	}()
	return s.cfg.Scripts.Scrape([]byte(name), q)
}

// unknown returns a name that no script has, or an empty string.
func (s *Server) unknown(parts []part) string {
	known := map[string]bool{}
	for _, st := range s.cfg.Scripts.Statuses() {
		known[st.Script.Name] = true
	}
	for _, p := range parts {
		if !known[p.name] && p.page == nil {
			return p.name
		}
	}
	return ""
}

// Headers of the metrics about the page itself.
const (
	upHeader = "# HELP stap_exporter_script_up 1 if the samples of the script are on this page, 0 otherwise.\n" +
		"# TYPE stap_exporter_script_up gauge\n"
	durationHeader = "# HELP stap_exporter_script_scrape_duration_seconds " +
		"Time that it took to get the script's metrics for this page.\n" +
		"# TYPE stap_exporter_script_scrape_duration_seconds gauge\n"
)

// ownPage reports for each script whether its samples are on the page, and how
// long it took to get them.
func ownPage(parts []part) *exposition.Page {
	var up, duration bytes.Buffer
	up.WriteString(upHeader)
	duration.WriteString(durationHeader)
	for _, p := range parts {
		name := labelEscape.Replace(strings.ToValidUTF8(p.name, "\uFFFD"))
		onPage := 0
		if p.page != nil {
			onPage = 1
		}
		seconds := p.duration.Seconds()
		fmt.Fprintf(&up, "stap_exporter_script_up{script=\"%s\"} %d\n", name, onPage)
		fmt.Fprintf(&duration, "stap_exporter_script_scrape_duration_seconds{script=\"%s\"} %g\n", name, seconds)
	}
	return exposition.Sanitize(append(up.Bytes(), duration.Bytes()...), exposition.Options{})
}

var labelEscape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
