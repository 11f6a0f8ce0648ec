package httpfront

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
	"go.uber.org/zap"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/time/rate"

	"stap-exporter/internal/scrape"
)

// loadText writes text as a web config file into dir and reads it.
func loadText(t testing.TB, dir, text string) (*WebConfig, error) {
	t.Helper()
	path := filepath.Join(dir, "web.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return LoadWebConfig(path, zap.NewNop())
}

// goodConfig is a file as operators have it, with all that it can hold.
func goodConfig(t testing.TB) string {
	return `# comment: cert_file: none, prom: none
tls_server_config:
  cert_file: server.crt
  key_file: server.key
  client_auth_type: VerifyClientCertIfGiven
  client_ca_file: ca.crt
  min_version: TLS12
  max_version: TLS13
  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]
  curve_preferences: [X25519, CurveP256]
  prefer_server_cipher_suites: true
http_server_config:
  http2: true
  headers:
    Strict-Transport-Security: max-age=63072000
    X-Frame-Options: deny
rate_limit:
  interval: 10ms
  burst: 100
basic_auth_users:
  prom: ` + hashOf(t, "secret", bcrypt.MinCost) + `
  "second user": ` + hashOf(t, "secret", bcrypt.MinCost) + "\n"
}

// Wrong files are named with the line; what node_exporter refuses is refused.
func TestWrongWebConfig(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, dir, "ca")
	ca.issue("server")
	ca.issue("other")
	writeFile(t, filepath.Join(dir, "empty.crt"), "nothing here\n")
	good := goodConfig(t)
	w, err := loadText(t, dir, good)
	if err != nil {
		t.Fatal(err)
	}
	if w.tls == nil || len(w.auth.users) != 2 || w.limiter.Limit() != rate.Every(10*time.Millisecond) ||
		len(w.headers) != 2 {
		t.Errorf("%+v", w)
	}
	for name, c := range map[string]struct{ old, new, line, want string }{
		"typo in a key":        {"key_file:", "key_fiel:", "4", "key_fiel not found"},
		"typo in a section":    {"rate_limit:", "rate_limits:", "17", "rate_limits not found"},
		"not yaml":             {"  key_file", "\tkey_file", "4", "tab character"},
		"same key twice":       {"http_server_config:", "rate_limit: {}\nhttp_server_config:", "18", "already set"},
		"unknown version":      {"TLS12", "TLS14", "7", "unknown TLS version: TLS14"},
		"unknown cipher":       {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_NONE", "9", "unknown cipher: TLS_NONE"},
		"unknown curve":        {"X25519", "X448", "10", "unknown curve: X448"},
		"no certificate file":  {"server.crt", "none.crt", "3", "none.crt: no such file"},
		"no key file":          {"server.key", "none.key", "4", "none.key: no such file"},
		"not its key":          {"server.key", "other.key", "3", "private key does not match"},
		"no certificate":       {"  cert_file: server.crt\n", "", "2", "missing one of cert or cert_file"},
		"no client CA file":    {"ca.crt", "none.crt", "6", "none.crt: no such file"},
		"empty client CA file": {"ca.crt", "empty.crt", "6", "no certificate in it"},
		"client auth type":     {"VerifyClientCertIfGiven", "Sometimes", "5", "Sometimes"},
		"client CA unused":     {"VerifyClientCertIfGiven", "NoClientCert", "6", "without a Client Auth Policy"},
		"client CA missing":    {"  client_ca_file: ca.crt\n", "", "5", "needs client_ca_file"},
		"header not allowed":   {"X-Frame-Options", "X-Powered-By", "16", "X-Powered-By"},
		"header value":         {"X-Frame-Options: deny", "X-Frame-Options: maybe", "16", "maybe"},
		"interval":             {"10ms", "often", "18", "often"},
		"burst missing":        {"  burst: 100\n", "", "17", "burst is to be at least 1"},
		"interval below 0":     {"10ms", "-1s", "17", "interval is below 0"},
		"password in clear":    {`"second user": $`, `"second user": secret # $`, "22", `user "second user": no bcrypt hash`},
		"password number":      {`"second user": $`, `"second user": [] # $`, "22", "cannot unmarshal"},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		if text == good {
			t.Fatalf("%s: %q is not in the file", name, c.old)
		}
		_, err := loadText(t, dir, text)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		if s := err.Error(); !strings.HasPrefix(s, "web config "+filepath.Join(dir, "web.yml")+":"+c.line+": ") ||
			!strings.Contains(s, c.want) ||
			strings.Contains(s, "\n") {
			t.Errorf("%s: want line %s and %q:\n%s", name, c.line, c.want, s)
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error tells the password: %s", name, err)
		}
	}
	if _, err := LoadWebConfig(
		filepath.Join(dir, "none.yml"),
		zap.NewNop(),
	); err == nil ||
		!strings.Contains(err.Error(), "none.yml: no such file") {
		t.Errorf("no file: %v", err)
	}
	for _, text := range []string{"", "{}", "# nothing\n", "rate_limit:\n  burst: 5\n", "http_server_config:\n  http2: false\n"} {
		if w, err := loadText(t, dir, text); err != nil || w.tls != nil || w.auth != nil || w.limiter != nil {
			t.Errorf("%q: %+v, %v", text, w, err)
		}
		if err := web.Validate(filepath.Join(dir, "web.yml")); err != nil {
			t.Errorf("%q: exporter-toolkit says %v", text, err)
		}
	}
}

// startWith serves with the web config text of dir.
func startWith(t *testing.T, scripts Scripts, dir, text string, log *zap.Logger) (*Server, string) {
	t.Helper()
	path := filepath.Join(dir, "web.yml")
	writeFile(t, path, text)
	if log == nil {
		log = zap.NewNop()
	}
	w, err := LoadWebConfig(path, log)
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{Scripts: scripts, Logger: log, Web: w})
	return s, serve(t, s)
}

func TestLoginsOverHTTP(t *testing.T) {
	dir := t.TempDir()
	users := "basic_auth_users:\n  prom: " + hashOf(t, "secret", bcrypt.MinCost) + "\n"
	scripts := serveBody("count 1\n", "x.stp")
	s, addr := startWith(t, scripts, dir, users, nil)
	right := "Authorization: " + basic("prom", "secret")
	for _, target := range []string{"/", "/x.stp", "/none.stp", "/none", "/sd", "/all", "/metrics", "/api/v1/scripts", "/api/v1/scripts/x.stp", "*"} {
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
	if names := scripts.asked(); len(names) != 4 { // two scripts, GET and HEAD
		t.Errorf("asked for %q", names)
	}

	// Another password counts from the next request on, on open connections,
	// too.
	conn := dial(t, addr)
	from := bufio.NewReader(conn)
	ask := func(password string) int {
		if _, err := io.WriteString(
			conn,
			"GET /x.stp HTTP/1.1\r\nHost: x\r\nAuthorization: "+basic("prom", password)+"\r\n\r\n",
		); err != nil {
			t.Fatal(err)
		}
		return receive(t, from, "GET").code
	}
	if code := ask("secret"); code != 200 {
		t.Errorf("old password: %d", code)
	}
	writeFile(t, filepath.Join(dir, "web.yml"), "basic_auth_users:\n  prom: "+hashOf(t, "new", bcrypt.MinCost)+"\n")
	if err := s.ReloadWebConfig(); err != nil {
		t.Fatal(err)
	}
	if old, next := ask("secret"), ask("new"); old != 401 || next != 200 {
		t.Errorf("after a reload: %d with the old password, %d with the new one", old, next)
	}
	writeFile(t, filepath.Join(dir, "web.yml"), "basic_auth_users:\n  prom: secret\n")
	if err := s.ReloadWebConfig(); err == nil || !strings.Contains(err.Error(), "web.yml:2: ") ||
		!strings.Contains(err.Error(), "the old one stays") {
		t.Errorf("wrong reload: %v", err)
	}
	if code := ask("new"); code != 200 {
		t.Errorf("after a wrong reload: %d", code)
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
		"http_server_config:\n  headers:\n    Content-Security-Policy: frame-ancestors https://grafana.example\n    X-Frame-Options: sameorigin\n    X-Content-Type-Options: nosniff\n",
		nil,
	)
	for target, code := range map[string]int{"/": 200, "/x.stp": 200, "/none": 404, "/-/healthy": 200, "/bad\x01": 400, "/" + strings.Repeat("a", 20000): 414} {
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
	w, err := loadText(
		t,
		t.TempDir(),
		"rate_limit: {interval: 1ns, burst: 1000000}\nhttp_server_config:\n  headers: {Strict-Transport-Security: max-age=1, X-Frame-Options: deny}\nbasic_auth_users:\n  prom: "+hashOf(
			t,
			"secret",
			bcrypt.MinCost,
		)+"\n",
	)
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{Scripts: &sameAnswer{Page: pageOf(lines(100)), Status: status(scrape.Running, nil)}, Web: w})
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
