package httpfront

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"stap-exporter/httpfront/api"
	"stap-exporter/internal/scrape"
)

func TestStatusAPI(t *testing.T) {
	scripts := &fakeScripts{statuses: []*scrape.Status{
		status(scrape.Running, func(st *scrape.Status) { st.Script.Name, st.OSPID = "100% <ü>.stp", 4711 }),
	}}
	s, addr := start(t, scripts, nil)
	s.cfg.OSPIDs = func() func(int) []int {
		return func(leader int) []int { return map[int][]int{4711: {10002, 4711}, 0: {1}}[leader] }
	}
	check := func(target string, code int, body string) {
		t.Helper()
		got := get(t, addr, "GET", target)
		if got.code != code || got.body != body || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s\n%s", target, got.code, got.header.Get("Content-Type"), got.body)
		}
		checkCommonHeaders(t, got)
	}
	var detail api.ScriptDetail
	got := get(t, addr, "GET", "/api/v1/scripts/100%25%20%3C%C3%BC%3E.stp?x=y")
	if err := json.Unmarshal([]byte(got.body), &detail); err != nil || got.code != 200 ||
		detail.Name != "100% <ü>.stp" || !slices.Equal(detail.OSPIDs, []int{4711, 10002}) || detail.Runtime != "auto" {
		t.Errorf("%d %s", got.code, got.body)
	}
	head := get(t, addr, "HEAD", "/api/v1/scripts/100%25%20%3C%C3%BC%3E.stp")
	if head.code != 200 || head.body != "" || head.length != int64(len(got.body)) {
		t.Errorf("HEAD: %d, %d of %d bytes", head.code, head.length, len(got.body))
	}
	for _, unknown := range []string{
		"/api/v1/scripts/",
		"/api/v1/scripts/none.stp",
		"/api/v1/scripts/100%25%20%3C%C3%BC%3E.stp/none",
		"/api/v1/scripts/a%2Fb",
	} {
		check(unknown, 404, "{\n  \"error\": \"script not found\"\n}\n")
	}
	var list api.ScriptList
	got = get(t, addr, "GET", "/api/v1/scripts")
	if json.Unmarshal([]byte(got.body), &list) != nil || len(list.Scripts) != 1 ||
		list.Scripts[0].Name != "100% <ü>.stp" {
		t.Errorf("%s", got.body)
	}
	for _, target := range []string{"/api/v1/scripts", "/api/v1/scripts/a.stp", "/sd", "/-/ready"} {
		if got := get(t, addr, "POST", target); got.code != 405 || got.header.Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s: %d, Allow %q", target, got.code, got.header.Get("Allow"))
		}
	}
	scripts.statuses = nil
	check("/api/v1/scripts", 200, "{\n  \"scripts\": []\n}\n")
	if len(scripts.requested()) > 0 {
		t.Errorf("the API requested %q", scripts.requested())
	}
}

func TestRouteMethods(t *testing.T) {
	none := func(*fasthttp.RequestCtx) {}
	for allow, r := range map[string]route{
		"GET, HEAD":       {get: none},
		"POST":            {post: none},
		"GET, HEAD, POST": {get: none, post: none},
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT"} {
			ctx := newRequest("/", "")
			ctx.Request.Header.SetMethod(method)
			r.serve(ctx)
			got := string(ctx.Response.Header.Peek("Allow"))
			if strings.Contains(allow, method) && ctx.Response.StatusCode() != 200 ||
				!strings.Contains(allow, method) && (ctx.Response.StatusCode() != 405 || got != allow) {
				t.Errorf("%s on %s: %d, Allow %q", method, allow, ctx.Response.StatusCode(), got)
			}
		}
	}
}

func TestReady(t *testing.T) {
	auto := func(state scrape.State, run uint64) *scrape.Status {
		return status(state, func(st *scrape.Status) { st.Script.Autostart, st.Run = true, run })
	}
	for name, c := range map[string]struct {
		statuses []*scrape.Status
		code     int
	}{
		"no scripts": {nil, 200},
		"on demand": {
			[]*scrape.Status{
				status(scrape.Idle, nil),
				status(scrape.Starting, func(st *scrape.Status) { st.Run = 1 }),
			},
			200,
		},
		"not started":        {[]*scrape.Status{auto(scrape.Idle, 0)}, 503},
		"first start":        {[]*scrape.Status{auto(scrape.Running, 1), auto(scrape.Starting, 1)}, 503},
		"runs":               {[]*scrape.Status{auto(scrape.Running, 1)}, 200},
		"failed once":        {[]*scrape.Status{auto(scrape.BackingOff, 1)}, 200},
		"starts again":       {[]*scrape.Status{auto(scrape.Starting, 2)}, 200},
		"stopped by request": {[]*scrape.Status{auto(scrape.Stopping, 1), auto(scrape.Idle, 1)}, 200},
		"shutting down":      {[]*scrape.Status{auto(scrape.Running, 1), status(scrape.Stopped, nil)}, 503},
	} {
		_, addr := start(t, &fakeScripts{statuses: c.statuses}, nil)
		got := get(t, addr, "GET", "/-/ready")
		if got.code != c.code || got.header.Get("Content-Type") != plainText || strings.Contains(got.body, ".stp") {
			t.Errorf("%s: %d %q", name, got.code, got.body)
		}
	}
}
