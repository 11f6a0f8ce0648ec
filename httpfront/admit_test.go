package httpfront

import (
	"bufio"
	"encoding/base64"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"golang.org/x/crypto/bcrypt"

	"stap-exporter/httpfront/internal/testpki"
	"stap-exporter/httpfront/webconfig"
	"stap-exporter/internal/scrape"
)

func hashOf(t testing.TB, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// webConfig writes text as a web config file into dir and reads it.
func webConfig(t testing.TB, dir, text string, log *zap.Logger) *webconfig.Config {
	t.Helper()
	path := filepath.Join(dir, "web.yml")
	testpki.WriteFile(t, path, text)
	c, err := webconfig.Load(path, log)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// startWith serves with the web config text in dir.
func startWith(t *testing.T, scripts Scripts, dir, text string, log *zap.Logger) (*Server, string) {
	t.Helper()
	if log == nil {
		log = zap.NewNop()
	}
	s := New(Config{Scripts: scripts, Logger: log, Web: webConfig(t, dir, text, log)})
	return s, serve(t, s)
}

func TestLogins(t *testing.T) {
	dir := t.TempDir()
	users := "basic_auth_users:\n  prom: " + hashOf(t, "secret") + "\n"
	scripts := serveBody("count 1\n", "x.stp")
	_, addr := startWith(t, scripts, dir, users, nil)
	right := "Authorization: " + basic("prom", "secret")
	for _, target := range []string{
		"/", "/x.stp", "/none.stp", "/none", "/sd", "/all", "/metrics", "/api/v1/scripts", "/api/v1/scripts/x.stp", "*",
	} {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			for _, header := range []string{"X: y", "Authorization: " + basic("prom", "wrong")} {
				got := get(t, addr, method, target, header)
				if got.code != 401 || !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Basic realm=") ||
					got.header.Get("Allow") != "" {
					t.Errorf("%s %s: %d %v", method, target, got.code, got.header)
				}
			}
			if got := get(t, addr, method, target, right); got.code == 401 {
				t.Errorf("%s %s: %d with the password", method, target, got.code)
			}
		}
	}
	for _, target := range []string{"/-/healthy", "/-/ready"} {
		if got := get(t, addr, "GET", target); got.code != 200 {
			t.Errorf("%s: %d", target, got.code)
		}
	}
	if names := scripts.requested(); len(names) != 4 { // two scripts, GET and HEAD
		t.Errorf("requested %q", names)
	}
}

// A changed password counts from the next request on, on open connections too.
func TestReloadedLogins(t *testing.T) {
	dir := t.TempDir()
	users := "basic_auth_users:\n  prom: " + hashOf(t, "secret") + "\n"
	s, addr := startWith(t, serveBody("count 1\n", "x.stp"), dir, users, nil)
	conn := dial(t, addr)
	from := bufio.NewReader(conn)
	request := func(password string) int {
		t.Helper()
		header := "GET /x.stp HTTP/1.1\r\nHost: x\r\nAuthorization: " + basic("prom", password) + "\r\n\r\n"
		if _, err := io.WriteString(conn, header); err != nil {
			t.Fatal(err)
		}
		return receive(t, from, "GET").code
	}
	if code := request("secret"); code != 200 {
		t.Errorf("old password: %d", code)
	}
	testpki.WriteFile(t, filepath.Join(dir, "web.yml"), "basic_auth_users:\n  prom: "+hashOf(t, "new")+"\n")
	if err := s.ReloadWebConfig(); err != nil {
		t.Fatal(err)
	}
	if old, next := request("secret"), request("new"); old != 401 || next != 200 {
		t.Errorf("after a reload: %d with the old password, %d with the new one", old, next)
	}
	testpki.WriteFile(t, filepath.Join(dir, "web.yml"), "basic_auth_users:\n  prom: secret\n")
	if err := s.ReloadWebConfig(); err == nil || !strings.Contains(err.Error(), "web.yml:2: ") ||
		!strings.Contains(err.Error(), "keeping the old one") {
		t.Errorf("reload of an invalid file: %v", err)
	}
	if code := request("new"); code != 200 {
		t.Errorf("after the reload of an invalid file: %d", code)
	}
}

func TestNoWebConfig(t *testing.T) {
	s, _ := start(t, serveBody("x"), nil)
	if err := s.ReloadWebConfig(); err != nil || s.TLS() {
		t.Errorf("%v, TLS %v", err, s.TLS())
	}
}

func TestConfiguredHeaders(t *testing.T) {
	_, addr := startWith(
		t,
		serveBody("count 1\n", "x.stp"),
		t.TempDir(),
		"http_server_config:\n  headers:\n"+
			"    Content-Security-Policy: frame-ancestors https://grafana.example\n"+
			"    X-Frame-Options: sameorigin\n    X-Content-Type-Options: nosniff\n",
		nil,
	)
	for target, code := range map[string]int{
		"/":                              200,
		"/x.stp":                         200,
		"/none":                          404,
		"/-/healthy":                     200,
		"/bad\x01":                       400,
		"/" + strings.Repeat("a", 20000): 414,
	} {
		got := get(t, addr, "GET", target, "Accept: text/html")
		if got.code != code || got.header.Get("X-Frame-Options") != "sameorigin" ||
			len(got.header.Values("X-Content-Type-Options")) != 1 ||
			got.header.Get("Content-Security-Policy") != "frame-ancestors https://grafana.example" {
			t.Errorf("%.20s: %d %v", target, got.code, got.header)
		}
	}
}

func TestRateLimit(t *testing.T) {
	_, addr := startWith(
		t,
		serveBody("count 1\n", "x.stp"),
		t.TempDir(),
		"rate_limit:\n  interval: 1h\n  burst: 3\n",
		nil,
	)
	for i, want := range []int{200, 200, 200, 429, 429} {
		got := get(t, addr, "GET", "/x.stp")
		if got.code != want || want == 429 && got.header.Get("Retry-After") != "3600" {
			t.Errorf("request %d: %d, Retry-After %q", i, got.code, got.header.Get("Retry-After"))
		}
	}
	if got := get(t, addr, "GET", "/-/healthy"); got.code != 200 {
		t.Errorf("health: %d", got.code)
	}
}

// Login, rate limit and headers add no allocation to a scrape.
func TestMetricsWithWebConfigAreSentWithoutAllocation(t *testing.T) {
	text := "rate_limit: {interval: 1ns, burst: 1000000}\n" +
		"http_server_config:\n  headers: {Strict-Transport-Security: max-age=1, X-Frame-Options: deny}\n" +
		"basic_auth_users:\n  prom: " + hashOf(t, "secret") + "\n"
	s := New(Config{
		Scripts: &sameAnswer{Page: pageOf(lines(100)), Status: status(scrape.Running, nil)},
		Web:     webConfig(t, t.TempDir(), text, zap.NewNop()),
	})
	ctx := newRequest("/a.stp", "9.5")
	ctx.Request.Header.Set("Authorization", basic("prom", "secret"))
	allocs := testing.AllocsPerRun(1000, func() {
		ctx.Response.Reset()
		s.handle(ctx)
	})
	if allocs != 0 || ctx.Response.StatusCode() != 200 ||
		string(ctx.Response.Header.Peek("X-Frame-Options")) != "deny" {
		t.Errorf("%v allocations per reply, status %d", allocs, ctx.Response.StatusCode())
	}
}
