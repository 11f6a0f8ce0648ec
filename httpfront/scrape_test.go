package httpfront

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"stap-exporter/internal/exposition"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
	"stap-exporter/internal/trust"
)

func TestParseTimeout(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"10":                           10 * time.Second,
		"9.5":                          9500 * time.Millisecond,
		"0.25":                         250 * time.Millisecond,
		".5":                           500 * time.Millisecond,
		"5.":                           5 * time.Second,
		"0.000000001":                  1,
		"0.0000000001":                 0,
		"00010":                        10 * time.Second,
		"86400":                        24 * time.Hour,
		"86401":                        24 * time.Hour,
		"1" + strings.Repeat("0", 400): 24 * time.Hour,

		"": 0, ".": 0, "0": 0, "0.0": 0, "-1": 0, "+1": 0, "1e1": 0, "0x10": 0, "Inf": 0, "NaN": 0, "1.2.3": 0,
		"10s": 0, "1 0": 0, "1,5": 0, "1_0": 0, "١": 0,
	} {
		got, ok := parseTimeout([]byte(value))
		if ok != (want > 0) || ok && got != want {
			t.Errorf("parseTimeout(%q) = %v, %v, want %v", value, got, ok, want)
		}
	}
}

func TestQuery(t *testing.T) {
	s := New(Config{ReadTimeout: 3 * time.Second, StartTimeout: time.Minute})
	s.now = func() time.Time { return testTime }
	for value, want := range map[string]scrape.Query{
		"":     {Deadline: testTime.Add(6*time.Second + readSlack)},
		"0":    {Deadline: testTime.Add(6*time.Second + readSlack)},
		"soon": {Deadline: testTime.Add(6*time.Second + readSlack)},
		"10":   {Deadline: testTime.Add(9500 * time.Millisecond), Wait: true},
		"0.75": {Deadline: testTime.Add(250 * time.Millisecond), Wait: true},
		"0.5":  {Deadline: testTime.Add(250 * time.Millisecond), Wait: true},
		"0.1":  {Deadline: testTime.Add(50 * time.Millisecond), Wait: true},
		"60":   {Deadline: testTime.Add(59500 * time.Millisecond), Wait: true},
		"3600": {Deadline: testTime.Add(time.Minute), Wait: true},
	} {
		ctx := newRequest("/a.stp", value)
		if got := s.query(ctx); got != want {
			t.Errorf("timeout %q: query = %v, want %v", value, got, want)
		}
	}
}

// newRequest returns a GET request for path, with the timeout header unless
// timeout is empty.
func newRequest(path, timeout string) *fasthttp.RequestCtx {
	var req fasthttp.Request
	req.SetRequestURI(path)
	req.Header.SetHost("x")
	if timeout != "" {
		req.Header.SetBytesK(headerTimeout, timeout)
	}
	ctx := &fasthttp.RequestCtx{}
	ctx.Init(&req, nil, nil)
	return ctx
}

// sameAnswer always gives the same answer and does not allocate.
type sameAnswer scrape.Answer

func (a *sameAnswer) Scrape([]byte, scrape.Query) scrape.Answer { return scrape.Answer(*a) }
func (a *sameAnswer) Statuses() []*scrape.Status                { return nil }

const (
	prometheusAccept = "application/openmetrics-text;version=1.0.0;q=0.5," +
		"application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
	prometheusEncoding = "gzip"
)

// A shared reply does not allocate, in any form: a form is rendered once.
func TestMetricsAreSentWithoutAllocation(t *testing.T) {
	const text = "text/plain; version=0.0.4; charset=utf-8"
	page := pageOf(lines(200))
	s := New(Config{Scripts: &sameAnswer{Page: page}})
	for name, c := range map[string]struct {
		timeout, accept, encoding, contentType string
		want                                   []byte
	}{
		"without timeout": {"", "", "", text, page.Text()},
		"with timeout":    {"9.5", "", "", text, page.Text()},
		"refused gzip":    {"9.5", "text/plain", "gzip;q=0", text, page.Text()},
		"gzip":            {"9.5", "text/plain", "gzip", text, page.Render(exposition.Form{Gzip: true})},
		"Prometheus": {
			"9.5",
			prometheusAccept,
			prometheusEncoding,
			"application/openmetrics-text; version=1.0.0; charset=utf-8",
			page.Render(exposition.Form{Format: exposition.FormatOpenMetrics, Gzip: true}),
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := newRequest("/a%20b.stp", c.timeout)
			ctx.Request.Header.Set("Accept", c.accept)
			ctx.Request.Header.Set("Accept-Encoding", c.encoding)
			allocs := testing.AllocsPerRun(1000, func() {
				ctx.Response.Reset()
				s.handle(ctx)
			})
			if allocs != 0 {
				t.Errorf("%v allocations per reply", allocs)
			}
			if got := ctx.Response.Body(); ctx.Response.StatusCode() != 200 || &got[0] != &c.want[0] ||
				len(got) != len(c.want) {
				t.Errorf("status %d, body copied, cut or in another form", ctx.Response.StatusCode())
			}
			h := &ctx.Response.Header
			if got := string(h.ContentType()); got != c.contentType {
				t.Errorf("Content-Type %q, want %q", got, c.contentType)
			}
			if got, gzip := string(h.ContentEncoding()), c.encoding == "gzip"; gzip != (got == "gzip") {
				t.Errorf("Content-Encoding %q", got)
			}
			if got := string(h.Peek("Vary")); got != "Accept, Accept-Encoding" {
				t.Errorf("Vary %q", got)
			}
		})
	}
}

func BenchmarkScrape(b *testing.B) {
	s := New(Config{Scripts: &sameAnswer{Page: pageOf(lines(120))}})
	for _, bench := range []struct{ name, timeout string }{{"plain", ""}, {"timeout", "10"}} {
		b.Run(bench.name, func(b *testing.B) {
			ctx := newRequest("/example.stp", bench.timeout)
			b.ReportAllocs()
			for b.Loop() {
				ctx.Response.Reset()
				s.handle(ctx)
			}
		})
	}
}

// /all scrapes passively. A script selected by name gets one request, which
// counts.
func TestAllScrapesPassively(t *testing.T) {
	requests := new(scrape.Requests)
	a := status(scrape.Running, func(st *scrape.Status) { st.Requests = requests })
	down := status(scrape.Idle, func(st *scrape.Status) { st.Script.Name = "down.stp" })
	refused := status(scrape.Idle, func(st *scrape.Status) {
		st.Script.Name, st.Script.Refused = "refused.stp", trust.ErrUntrusted
	})
	scripts := &fakeScripts{
		statuses: []*scrape.Status{a, down, refused},
		answer: func(name string, _ scrape.Query) scrape.Answer {
			if name == "a.stp" {
				return scrape.Answer{Page: pageOf("# TYPE count gauge\ncount 1\n"), Status: a}
			}
			return scrape.Answer{Err: scrape.ErrNotRunning, Status: down}
		},
	}
	_, addr := start(t, scripts, nil)
	counted := func() uint64 {
		return requests.Total(slices.Index(scrape.RequestCodes[:], 200))
	}
	const upOfBoth = "# HELP stap_exporter_script_up " +
		"1 if the samples of the script are on this page, 0 otherwise.\n" +
		"# TYPE stap_exporter_script_up gauge\n" +
		"stap_exporter_script_up{script=\"a.stp\"} 1\nstap_exporter_script_up{script=\"down.stp\"} 0\n"
	for _, each := range []struct {
		target  string
		names   []string // requested
		passive bool
		counted uint64 // in total
		begin   string
	}{
		{"/all", []string{"a.stp", "down.stp"}, true, 0, upOfBoth},
		{"/all?name[]=a.stp&name[]=a.stp", []string{"a.stp"}, false, 1, ""},
		{"/all?name%5B%5D=down.stp&name%5B%5D=a.stp", []string{"a.stp", "down.stp"}, false, 2, ""},
	} {
		scripts.names, scripts.queries = nil, nil
		got := get(t, addr, "GET", each.target, "X-Prometheus-Scrape-Timeout-Seconds: 5")
		names := scripts.requested()
		slices.Sort(names)
		if got.code != 200 || !slices.Equal(names, each.names) || counted() != each.counted {
			t.Errorf("%s: %d, requested %q, %d counted", each.target, got.code, names, counted())
		}
		for _, q := range scripts.queries {
			if q.Passive != each.passive || q.Wait == each.passive {
				t.Errorf("%s: %+v", each.target, q)
			}
		}
		if !strings.HasPrefix(got.body, each.begin) ||
			!strings.HasSuffix(got.body, "# TYPE count gauge\ncount{script=\"a.stp\"} 1\n") {
			t.Errorf("%s:\n%s", each.target, got.body)
		}
	}
}

// removing has a script that is removed while its metrics are requested.
type removing struct {
	fakeScripts
	gone atomic.Bool
}

func (l *removing) Statuses() []*scrape.Status {
	all := []*scrape.Status{
		{Script: script.Script{Name: "a.stp"}, State: scrape.Running},
		{Script: script.Script{Name: "b.stp"}, State: scrape.Running},
	}
	if l.gone.Load() {
		return all[:1]
	}
	return all
}

// A script that is removed while /all is made does not affect the page.
func TestAllWhileAScriptIsRemoved(t *testing.T) {
	l := &removing{}
	l.answer = func(name string, _ scrape.Query) scrape.Answer {
		if name == "b.stp" {
			l.gone.Store(true)
			return scrape.Answer{Err: scrape.ErrUnknown}
		}
		return scrape.Answer{Page: pageOf("up 1\n"), Status: &scrape.Status{}}
	}
	s := New(Config{Scripts: l})
	ctx := newRequest("/all", "")
	s.handle(ctx)
	body := string(ctx.Response.Body())
	if ctx.Response.StatusCode() != 200 || !strings.Contains(body, "up{script=\"a.stp\"} 1\n") {
		t.Errorf("%d %s", ctx.Response.StatusCode(), body)
	}
	ctx = newRequest("/all?name[]=b.stp", "")
	s.handle(ctx)
	if ctx.Response.StatusCode() != 404 {
		t.Errorf("selected by name: %d", ctx.Response.StatusCode())
	}
}

// Scripts that do not answer delay no other on /all, however many they are.
func TestAllWithScriptsThatHang(t *testing.T) {
	release := make(chan struct{})
	l := &fakeScripts{answer: func(name string, _ scrape.Query) scrape.Answer {
		if name == "last.stp" {
			close(release)
		}
		<-release
		return scrape.Answer{Page: pageOf("up 1\n"), Status: &scrape.Status{}}
	}}
	s := New(Config{Scripts: l})
	names := make([]string, 5*allParallel)
	for i := range names {
		names[i] = "hangs.stp"
	}
	for _, p := range s.readAll(append(names, "last.stp"), scrape.Query{}) {
		if p.page == nil {
			t.Errorf("%s has no page", p.name)
		}
	}
}
