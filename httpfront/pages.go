package httpfront

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/valyala/fasthttp"

	"stap-exporter/httpfront/accept"
	"stap-exporter/httpfront/internal/display"
	"stap-exporter/internal/cpulimit"
	"stap-exporter/internal/scrape"
)

// Limits of the interval at which the page of a starting script refreshes
// itself. It grows with the duration of the start, because most are short.
const (
	minRefresh = 2 * time.Second
	maxRefresh = 10 * time.Second
)

//go:embed pages.html
var pagesSource string

// pages holds the templates "list" and "starting". They load nothing from
// elsewhere, and their links are relative: behind a proxy the server may be
// below a path.
var pages = template.Must(template.New("pages").Parse(pagesSource))

// pageSecurity allows a page its own style sheet and nothing else.
const pageSecurity = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// row is one script in the list.
type row struct {
	Path  string // percent-encoded
	Name  string
	State string
	For   string // time in State; empty when not known
	Note  string // one line: its activity, its next start
	Last  string // why its last run ended, several lines; empty while nothing went wrong
}

func rowOf(st *scrape.Status, now time.Time) row {
	r := row{
		Path:  "/" + url.PathEscape(st.Script.Name),
		Name:  display.Printable(st.Script.Name),
		State: st.State.String(),
		Note:  display.Printable(st.Activity),
		Last:  display.PrintableLines(st.Reason),
	}
	if st.Script.Refused != nil { // Reason is the same, and there was no run
		r.Note, r.Last = "is not run: "+display.Printable(st.Script.Refused.Error()), ""
	}
	if !st.Since.IsZero() {
		r.For = display.Spell(now.Sub(st.Since))
	}
	if st.Paused {
		r.Note = "paused by an operator"
	}
	if why, _, _ := strings.Cut(st.NewVersion, "\n"); why != "" {
		r.Note = "older version of its file, the new one: " + display.Printable(why)
	}
	if st.State == scrape.BackingOff && !st.RetryAt.IsZero() {
		if left := st.RetryAt.Sub(now); left > 0 {
			r.Note = "can start again in " + display.Spell(time.Duration(display.WholeSeconds(left))*time.Second)
		} else {
			r.Note = "can start again now"
		}
	}
	if st.State == scrape.Running && st.Reads != nil {
		if why := st.Reads.Problem.Load(); why != nil {
			r.Note = "last read failed: " + display.Printable(*why)
		}
	}
	if st.CrashLoop {
		loop := fmt.Sprintf("crash loop, %d consecutive failures", st.ConsecutiveFailures)
		if r.Note != "" {
			loop += ", "
		}
		r.Note = loop + r.Note
	}
	return r
}

// listView is the data of the list.
type listView struct {
	Version string
	Rows    []row
}

// list sends all scripts with their states and paths: a page for browsers,
// lines of text for other clients.
func (s *Server) list(ctx *fasthttp.RequestCtx) {
	ctx.Response.Header.Set(fasthttp.HeaderVary, fasthttp.HeaderAccept)
	if accept.PrefersHTML(ctx.Request.Header.Peek(fasthttp.HeaderAccept)) {
		s.share(ctx, "list, html", func() *page {
			defer cpulimit.Acquire()()
			return htmlPage(fasthttp.StatusOK, "list", s.listView())
		})
		return
	}
	s.share(ctx, "list, text", func() *page {
		defer cpulimit.Acquire()()
		return &page{code: fasthttp.StatusOK, contentType: plainText, body: listText(s.listView())}
	})
}

func (s *Server) listView() listView {
	now := s.now()
	view := listView{Version: s.cfg.Version}
	for _, st := range s.cfg.Scripts.Statuses() {
		view.Rows = append(view.Rows, rowOf(st, now))
	}
	return view
}

// listText returns a line for each script: path, state, time in it, note. The
// first line of the last failure follows the note.
func listText(view listView) []byte {
	var buf bytes.Buffer
	if len(view.Rows) == 0 {
		buf.WriteString("no scripts\n")
		return buf.Bytes()
	}
	table := tabwriter.NewWriter(&buf, 0, 1, 2, ' ', 0)
	for _, r := range view.Rows {
		last, _, _ := strings.Cut(r.Last, "\n")
		note := r.Note
		if note != "" && last != "" {
			note += "; "
		}
		if last != "" {
			note += "last run: " + last
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", r.Path, r.State, r.For, strings.ReplaceAll(note, "\t", " "))
	}
	_ = table.Flush()
	return buf.Bytes()
}

// startingView is the data of the page of a script that is not running yet.
type startingView struct {
	Title   string
	Text    string // the plain reply
	Refresh int    // seconds
}

func startingViewOf(o outcome, st *scrape.Status, now time.Time) startingView {
	view := startingView{Title: "script", Text: o.text, Refresh: display.WholeSeconds(minRefresh)}
	if st != nil {
		view.Title = display.Printable(st.Script.Name)
		if !st.Since.IsZero() {
			view.Refresh = display.WholeSeconds(min(max(now.Sub(st.Since)/2, minRefresh), maxRefresh))
		}
	}
	return view
}

// htmlPage returns the reply with one of the templates.
func htmlPage(code int, name string, view any) *page {
	var buf bytes.Buffer
	if err := pages.ExecuteTemplate(&buf, name, view); err != nil {
		panic(fmt.Errorf("render page %q: %w", name, err)) // a bug in pages.html
	}
	return &page{code: code, contentType: "text/html; charset=utf-8", html: true, body: buf.Bytes()}
}
