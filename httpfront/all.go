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

	"stap-exporter/internal/exposition"
	"stap-exporter/internal/scrape"
)

// allPath is the page of all scripts in one.
const allPath = "/all"

// part is one script's share of the page of all scripts.
type part struct {
	name string
	page *exposition.Page // nil: none came in time
	took time.Duration
	left bool // the client has left while it waited for it
}

// all answers with the scripts that run now, in one page: each sample has the
// script's name as the label script. It starts nothing and renews no keepalive,
// unless scripts are picked by ?name[]=…: then it counts as a request for each
// of them.
// A script that is down, slow or unreadable costs its own samples, not the
// scrape.
func (s *Server) all(ctx *fasthttp.RequestCtx) {
	q := s.query(ctx)
	var names []string
	for _, name := range ctx.QueryArgs().PeekMulti("name[]") {
		if !slices.Contains(names, string(name)) { // one that is picked twice is one request
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
	// One read that takes too long is not to cost the others their place in the
	// reply.
	q.Deadline = s.now().Add(min(q.Deadline.Sub(s.now()), s.cfg.ReadTimeout+readSlack))
	parts := s.readAll(names, q)
	if slices.ContainsFunc(parts, func(p part) bool { return p.left }) {
		s.clientLeft(ctx)
		return
	}
	if unknown := s.unknown(parts); unknown != "" && !q.Passive {
		// a script that nobody picked may be removed meanwhile
		plainError(
			ctx,
			fasthttp.StatusNotFound,
			fmt.Sprintf("script not found: %s\nThe list of scripts is at /\n", printable(unknown)),
		)
		return
	}
	sources := []exposition.Source{{Page: ownPage(parts)}}
	for _, p := range parts {
		sources = append(sources, exposition.Source{Script: p.name, Page: p.page})
	}
	writeMetrics(ctx, exposition.Merge(sources), formOf(ctx))
}

// Reads of the page of all scripts that are begun at a time. One that takes
// longer than allPatience holds up no other.
const (
	allAtOnce   = 8
	allPatience = 20 * time.Millisecond
)

// readAll asks all scripts, a few at a time, so that who scrapes one of them
// meanwhile does not wait behind all the others for a processor. Each actor
// answers by the deadline.
func (s *Server) readAll(names []string, q scrape.Query) []part {
	parts := make([]part, len(names))
	var asked sync.WaitGroup
	places := make(chan struct{}, allAtOnce)
	for i, name := range names {
		places <- struct{}{}
		free := sync.OnceFunc(func() { <-places })
		late := time.AfterFunc(allPatience, free)
		asked.Go(func() {
			defer free()
			defer late.Stop()
			begun := time.Now()
			answer := s.scrapePart(name, q)
			parts[i] = part{
				name: name,
				page: answer.Page,
				took: time.Since(begun),
				left: errors.Is(answer.Err, scrape.ErrClientGone),
			}
			if !q.Passive && answer.Status != nil && !parts[i].left {
				answer.Status.Count(codeOf(answer, s.now()))
			}
		})
	}
	asked.Wait()
	return parts
}

// scrapePart asks one script. It runs in a goroutine of its own, where a panic
// would end the process: it costs the script's samples.
func (s *Server) scrapePart(name string, q scrape.Query) (answer scrape.Answer) {
	defer func() {
		if p := recover(); p != nil {
			s.logPanic(p, allPath)
			answer = scrape.Answer{Err: scrape.ErrInternal}
		}
	}()
	return s.cfg.Scripts.Scrape([]byte(name), q)
}

func codeOf(answer scrape.Answer, now time.Time) int {
	if answer.Err == nil {
		return fasthttp.StatusOK
	}
	return outcomeOf(answer, now).code
}

// unknown returns a name that is no script's.
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

// ownPage says of each script whether its samples are on the page, and how long
// it took to get them.
func ownPage(parts []part) *exposition.Page {
	var up, took bytes.Buffer
	up.WriteString(
		"# HELP stap_exporter_script_up 1 if the samples of the script are on this page, 0 otherwise.\n# TYPE stap_exporter_script_up gauge\n",
	)
	took.WriteString(
		"# HELP stap_exporter_script_scrape_duration_seconds Time that it took to get the script's metrics for this page.\n# TYPE stap_exporter_script_scrape_duration_seconds gauge\n",
	)
	for _, p := range parts {
		name := labelEscape.Replace(strings.ToValidUTF8(p.name, "\uFFFD"))
		running := 0
		if p.page != nil {
			running = 1
		}
		fmt.Fprintf(&up, "stap_exporter_script_up{script=\"%s\"} %d\n", name, running)
		fmt.Fprintf(&took, "stap_exporter_script_scrape_duration_seconds{script=\"%s\"} %g\n", name, p.took.Seconds())
	}
	return exposition.Sanitize(append(up.Bytes(), took.Bytes()...), exposition.Options{})
}

var labelEscape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
