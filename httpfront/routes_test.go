package httpfront

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"stap-exporter/internal/scrape"
	"stap-exporter/internal/trust"
)

func TestPaths(t *testing.T) {
	long := strings.Repeat("ü", 125) + "x.stp" // 255 bytes
	names := []string{
		"x.stp",
		"a b.stp",
		"a+b.stp",
		"100%.stp",
		"a%2Fb.stp",
		"ünï.stp",
		"-lead.stp",
		"..stp",
		"...stp",
		".stp",
		"a?b#c.stp",
		"a:b.stp",
		`back\slash.stp`,
		"\xff\xfe.stp",
		"a\nb.stp",
		long,
	}
	scripts := serveBody("count 1\n", names...)
	_, addr := start(t, scripts, nil)

	for _, name := range names {
		path := "/" + url.PathEscape(name)
		if got := get(t, addr, "GET", path); got.code != 200 || got.body != "count 1\n" {
			t.Errorf("%s: %d %q", path, got.code, got.body)
		}
	}

	for target, name := range map[string]string{
		"/x.stp":                  "x.stp",
		"/%78.stp":                "x.stp",
		"/x%2Estp":                "x.stp",
		"/x.stp?":                 "x.stp",
		"/x.stp?a=b&u=http://h/y": "x.stp",
		"/x.stp?/../y.stp":        "x.stp",
		"/x.stp#part":             "x.stp",
		"http://other/x.stp":      "x.stp",
		"/a+b.stp":                "a+b.stp",
		"/100%.stp":               "100%.stp",
		"/a%252Fb.stp":            "a%2Fb.stp",
	} {
		got := get(t, addr, "GET", target)
		names := scripts.requested()
		if last := names[len(names)-1]; got.code != 200 || last != name {
			t.Errorf("%s: %d, requested %q, want %q", target, got.code, last, name)
		}
	}

	before := len(scripts.requested())
	for _, target := range []string{
		"//x.stp", "/%2Fx.stp", "/%2fx.stp", "/../x.stp", "/..%2Fx.stp", "/%2E%2E/x.stp", "/a/../x.stp", "/./x.stp",
		"/.%2Fx.stp", "/a%2Fx.stp", "/a/x.stp", "/x.stp/", "/x.stp/.", "/x.stp/..", "/x.stp%2F", "/x.stp/y",
		"http://h//x.stp", "http://h/a/../x.stp", "/x.stp%00", "/x.stp%20", "/x.STP", "/..", "/.", "//", "/-/",
		"/-/healthy/", "/-/../", "/metrics", "/favicon.ico", "/x", "/%", "/%2", "*",
	} {
		if got := get(t, addr, "GET", target); got.code != 404 || !strings.HasPrefix(got.body, "script not found\n") {
			t.Errorf("%s: %d %q", target, got.code, got.body)
		}
	}
	if after := scripts.requested(); len(after) != before {
		t.Errorf("requested %q", after[before:])
	}

	for _, target := range []string{
		"/none.stp",
		"/x%00.stp",
		"/%00x.stp",
		"/%0d%0a.stp",
		"/" + strings.Repeat("a", 5000) + ".stp",
	} {
		if got := get(t, addr, "GET", target); got.code != 404 {
			t.Errorf("%.50s: %d", target, got.code)
		}
	}
}

func TestHealthy(t *testing.T) {
	scripts := serveBody("x")
	_, addr := start(t, scripts, nil)
	for _, target := range []string{"/-/healthy", "/-/healthy?x=y"} {
		got := get(t, addr, "GET", target)
		if got.code != 200 || got.header.Get("Content-Type") != plainText || len(scripts.requested()) != 0 {
			t.Errorf("%s: %+v", target, got)
		}
		checkCommonHeaders(t, got)
	}
}

func TestOtherMethods(t *testing.T) {
	scripts := serveBody("x", "x.stp")
	_, addr := start(t, scripts, nil)
	for _, target := range []string{"/", "/x.stp", "/none", "/-/healthy", "*"} {
		for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "PROPFIND", "get"} {
			got := get(t, addr, method, target, "Content-Length: 3\r\n\r\nabc")
			if got.code != 405 || got.header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d, Allow %q", method, target, got.code, got.header.Get("Allow"))
			}
			checkCommonHeaders(t, got)
		}
	}
	if got := get(t, addr, "CONNECT", "h:1"); got.code != 405 && got.code != 400 {
		t.Errorf("CONNECT: %d", got.code)
	}
	if names := scripts.requested(); len(names) != 0 {
		t.Errorf("requested %q", names)
	}
}

func TestBodies(t *testing.T) {
	_, addr := start(t, serveBody("count 1\n", "x.stp"), nil)
	const form = "Content-Type: multipart/form-data; boundary=b\r\n"
	big := strings.Repeat("a", maxBodyBytes+1)
	for name, c := range map[string]struct {
		method, raw string
		code        int
	}{
		"form":         {"POST", form + "Content-Length: 8\r\n\r\nno form!", 405},
		"chunked":      {"PUT", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 405},
		"large":        {"POST", "Content-Length: 16385\r\n\r\n" + big, 405},
		"with GET":     {"GET", "Content-Length: 3\r\n\r\nabc", 200},
		"large GET":    {"GET", "Content-Length: 99999999\r\n\r\n", 413},
		"broken chunk": {"PUT", "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
	} {
		got := send(t, addr, c.method, c.method+" /x.stp HTTP/1.1\r\nHost: x\r\n"+c.raw)
		if got.code != c.code || c.code == 405 && got.header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d, Allow %q, want %d", name, got.code, got.header.Get("Allow"), c.code)
		}
	}
}

func TestMalformedRequests(t *testing.T) {
	_, addr := start(t, serveBody("x", "x.stp"), nil)
	for raw, code := range map[string]int{
		"GET\r\n\r\n":                                                                          400,
		"GET x.stp HTTP/1.1\r\nHost: x\r\n\r\n":                                                400,
		"GET /x.stp HTTP/1.1\r\nHost: x\r\n bad header\r\n\r\n":                                400,
		"GET /x.stp HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n":                         400,
		"GET /x\x01.stp HTTP/1.1\r\nHost: x\r\n\r\n":                                           400,
		"GET /x.stp HTTP/1.1\r\nHost: x\r\nCookie: " + strings.Repeat("a", 20000) + "\r\n\r\n": 431,
		"GET /" + strings.Repeat("a", 20000) + " HTTP/1.1\r\nHost: x\r\n\r\n":                  414,
		// TLS to a plain port
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n": 400,
	} {
		got := send(t, addr, "GET", raw)
		if got.code != code || got.header.Get("Content-Type") != plainText || !strings.HasSuffix(got.body, "\n") {
			t.Errorf("%.60q: %d %q, want %d", raw, got.code, got.body, code)
		}
		checkCommonHeaders(t, got)
	}
}

func TestPanicIsOneReply(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	scripts := &fakeScripts{answer: func(name string, _ scrape.Query) scrape.Answer {
		if name == "panic.stp" {
			panic("boom")
		}
		return scrape.Answer{Page: pageOf("count 1\n")}
	}}
	_, addr := start(t, scripts, zap.New(core))

	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	from := bufio.NewReader(conn)
	for _, want := range []struct {
		path string
		code int
	}{{"/panic.stp", 500}, {"/x.stp", 200}} {
		if _, err := io.WriteString(conn, "GET "+want.path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		got := receive(t, from, "GET")
		if got.code != want.code || strings.Contains(got.body, "boom") {
			t.Errorf("%s: %d %q", want.path, got.code, got.body)
		}
		checkCommonHeaders(t, got)
	}
	entries := logs.FilterLevelExact(zap.ErrorLevel).All()
	if len(entries) != 1 || !strings.Contains(entries[0].ContextMap()["stack"].(string), "routes_test.go") {
		t.Errorf("logged %v", entries)
	}
}

func TestList(t *testing.T) {
	scripts := &fakeScripts{statuses: []*scrape.Status{
		status(scrape.Idle, func(st *scrape.Status) { st.Script.Name = "100% <b>&\n.stp" }),
		status(scrape.Running, nil),
		status(scrape.Starting, func(st *scrape.Status) {
			st.Script.Name, st.Activity, st.Reason = "b c.stp", "pass 2: analyse", "exit code 1\nsecond line"
		}),
		status(scrape.BackingOff, func(st *scrape.Status) {
			st.Script.Name, st.RetryAt, st.Reason = "ü.stp", testTime.Add(90*time.Second), "signal 9\nlast <words>\n"
		}),
		status(scrape.Idle, func(st *scrape.Status) {
			st.Script.Name, st.Script.Refused, st.Reason = "z.stp", trust.ErrUntrusted, trust.ErrUntrusted.Error()
		}),
	}}
	_, addr := start(t, scripts, nil)

	plain := get(t, addr, "GET", "/?x=y")
	want := []string{
		"/100%25%20%3Cb%3E&%0A.stp  idle         1 min 5 s",
		"/a.stp                     running      1 min 5 s",
		"/b%20c.stp                 starting     1 min 5 s  pass 2: analyse; last run: exit code 1",
		"/%C3%BC.stp                backing-off  1 min 5 s  can start again in 1 min 30 s; last run: signal 9",
		"/z.stp                     idle         1 min 5 s  is not run: " + trust.ErrUntrusted.Error(),
	}
	lines := strings.Split(strings.TrimRight(plain.body, "\n"), "\n")
	sameLine := func(a, b string) bool { return strings.TrimRight(a, " ") == b }
	if plain.code != 200 || plain.header.Get("Content-Type") != plainText || !slices.EqualFunc(lines, want, sameLine) {
		t.Errorf("%d %s\n%s", plain.code, plain.header.Get("Content-Type"), plain.body)
	}
	checkCommonHeaders(t, plain)

	page := get(t, addr, "GET", "/", "Accept: text/html")
	if page.code != 200 || page.header.Get("Content-Type") != "text/html; charset=utf-8" ||
		page.header.Get("Vary") != "Accept" ||
		page.header.Get("Content-Security-Policy") == "" {
		t.Errorf("%d %v", page.code, page.header)
	}
	checkCommonHeaders(t, page)
	for _, part := range []string{
		`href="./100%25%20%3Cb%3E&amp;%0A.stp"`,
		"100% &lt;b&gt;&amp;\uFFFD.stp",
		`href="./b%20c.stp"`,
		`href="./%C3%BC.stp"`,
		"last &lt;words&gt;",
		"stap-exporter 1.2.3",
	} {
		if !strings.Contains(page.body, part) {
			t.Errorf("page lacks %q:\n%s", part, page.body)
		}
	}
	if head := get(t, addr, "HEAD", "/", "Accept: text/html"); head.body != "" || head.length != int64(len(page.body)) {
		t.Errorf("HEAD: %d of %d, body %q", head.length, len(page.body), head.body)
	}
	if len(scripts.requested()) != 0 {
		t.Errorf("the list requested %q", scripts.requested())
	}
}

func TestEmptyList(t *testing.T) {
	_, addr := start(t, &fakeScripts{}, nil)
	if got := get(t, addr, "GET", "/"); got.code != 200 || got.body != "no scripts\n" {
		t.Errorf("%d %q", got.code, got.body)
	}
	got := get(t, addr, "GET", "/", "Accept: text/html")
	if got.code != 200 || !strings.Contains(got.body, "There are no scripts") {
		t.Errorf("%d %q", got.code, got.body)
	}
}

// A panic in a goroutine of a handler does not end the process: on /all a
// script lacks its samples, /metrics answers 500.
func TestPanicInGoroutines(t *testing.T) {
	core, logs := observer.New(zap.ErrorLevel)
	scripts := &fakeScripts{
		answer: func(name string, _ scrape.Query) scrape.Answer {
			if name == "panic.stp" {
				panic("boom")
			}
			return scrape.Answer{Page: pageOf("count 1\n")}
		},
		statuses: []*scrape.Status{
			status(scrape.Running, nil),
			status(scrape.Running, func(st *scrape.Status) { st.Script.Name = "panic.stp" }),
		},
	}
	s := New(Config{
		Scripts:       scripts,
		Logger:        zap.New(core),
		TelemetryPath: "/metrics",
		Telemetry:     http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") }),
	})
	addr := serve(t, s)
	all := get(t, addr, "GET", "/all")
	if all.code != 200 || !strings.Contains(all.body, `stap_exporter_script_up{script="panic.stp"} 0`) ||
		!strings.Contains(all.body, `count{script="a.stp"} 1`) {
		t.Errorf("/all: %d\n%s", all.code, all.body)
	}
	if got := get(t, addr, "GET", "/metrics"); got.code != 500 || strings.Contains(got.body, "boom") {
		t.Errorf("/metrics: %d %q", got.code, got.body)
	}
	entries := logs.All()
	if len(entries) != 2 {
		t.Fatalf("logged %v", entries)
	}
	for _, e := range entries {
		if !strings.Contains(e.ContextMap()["stack"].(string), "routes_test.go") {
			t.Errorf("no useful stack: %v", e.ContextMap())
		}
	}
}
