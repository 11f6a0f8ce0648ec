package webconfig

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/exporter-toolkit/web"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"stap-exporter/httpfront/internal/testpki"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// loadText writes text as a web config file into dir and reads it.
func loadText(t testing.TB, dir, text string) (*Config, error) {
	t.Helper()
	path := filepath.Join(dir, "web.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(path, zap.NewNop())
}

// fullFile returns a file with everything that it can hold.
func fullFile(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("testdata/full.yml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// An error names file and line, and what node_exporter rejects is rejected.
func TestInvalidFiles(t *testing.T) {
	dir := t.TempDir()
	ca := testpki.New(t, dir, "ca")
	ca.Issue("server")
	ca.Issue("other")
	testpki.WriteFile(t, filepath.Join(dir, "empty.crt"), "nothing here\n")
	valid := fullFile(t)
	c, err := loadText(t, dir, valid)
	if err != nil {
		t.Fatal(err)
	}
	if c.TLS() == nil || len(c.auth.users) != 2 || c.limiter.Limit() != rate.Every(10*time.Millisecond) ||
		len(c.Headers()) != 2 {
		t.Errorf("%+v", c)
	}
	for name, c := range map[string]struct{ old, new, line, want string }{
		"typo in a key":        {"key_file:", "key_fiel:", "4", "key_fiel not found"},
		"typo in a section":    {"rate_limit:", "rate_limits:", "17", "rate_limits not found"},
		"not yaml":             {"  key_file", "\tkey_file", "4", "tab character"},
		"same key twice":       {"http_server_config:", "rate_limit: {}\nhttp_server_config:", "18", "already set"},
		"unknown version":      {"TLS12", "TLS14", "7", "unknown TLS version: TLS14"},
		"unknown cipher":       {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_NONE", "9", "cipher: TLS_NONE"},
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
		"burst missing":        {"  burst: 100\n", "", "17", "burst must be at least 1"},
		"interval below 0":     {"10ms", "-1s", "17", "interval is below 0"},
		"password in clear":    {`"second user": $`, `"second user": secret # $`, "22", `user": not a bcrypt hash`},
		"password number":      {`"second user": $`, `"second user": [] # $`, "22", "cannot unmarshal"},
	} {
		text := strings.Replace(valid, c.old, c.new, 1)
		if text == valid {
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
			t.Errorf("%s: the error contains the password: %s", name, err)
		}
	}
	if _, err := Load(filepath.Join(dir, "none.yml"), zap.NewNop()); err == nil ||
		!strings.Contains(err.Error(), "none.yml: no such file") {
		t.Errorf("no file: %v", err)
	}
}

func TestFilesWithoutEffect(t *testing.T) {
	dir := t.TempDir()
	for _, text := range []string{
		"",
		"{}",
		"# nothing\n",
		"rate_limit:\n  burst: 5\n",
		"http_server_config:\n  http2: false\n",
	} {
		c, err := loadText(t, dir, text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		checkNoEffect(t, text, c)
		if err := web.Validate(filepath.Join(dir, "web.yml")); err != nil {
			t.Errorf("%q: exporter-toolkit rejects it: %v", text, err)
		}
	}
	checkNoEffect(t, "no file", nil)
	if c, err := (*Config)(nil).Reload(); c != nil || err != nil {
		t.Errorf("no file: Reload = %v, %v", c, err)
	}
}

func checkNoEffect(t *testing.T, text string, c *Config) {
	t.Helper()
	_, allowed := c.Allow()
	if c.TLS() != nil || c.Login(nil) != LoginAccepted || !allowed || len(c.Headers()) > 0 {
		t.Errorf("%q: %+v", text, c)
	}
}

func TestRateLimit(t *testing.T) {
	c, err := loadText(t, t.TempDir(), "rate_limit:\n  interval: 1h\n  burst: 2\n")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, true, false, false} {
		if retryAfter, ok := c.Allow(); ok != want || !ok && retryAfter != time.Hour {
			t.Errorf("request %d: %v, %v", i, retryAfter, ok)
		}
	}
}

func TestReload(t *testing.T) {
	dir := t.TempDir()
	c, err := loadText(t, dir, "http_server_config:\n  headers:\n    X-Frame-Options: deny\n")
	if err != nil {
		t.Fatal(err)
	}
	testpki.WriteFile(t, filepath.Join(dir, "web.yml"), "{}\n")
	next, err := c.Reload()
	if err != nil || len(next.Headers()) != 0 || len(c.Headers()) != 1 {
		t.Errorf("%+v, %v", next, err)
	}
	testpki.WriteFile(t, filepath.Join(dir, "web.yml"), "nothing\n")
	if next, err := c.Reload(); err == nil {
		t.Errorf("an invalid file: %+v", next)
	}
}

// FuzzLoad reads any file. It is valid, or rejected with one line that names
// it.
func FuzzLoad(f *testing.F) {
	dir := f.TempDir()
	testpki.New(f, dir, "ca").Issue("server")
	full := fullFile(f)
	f.Add([]byte(full))
	for part := range strings.SplitSeq(full, "\n") {
		f.Add([]byte(part))
	}
	f.Add([]byte("tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"))
	f.Add([]byte("rate_limit: {interval: 1ns, burst: 1}\nhttp_server_config: {headers: {X-Frame-Options: deny}}"))
	f.Add([]byte("basic_auth_users: {a: x, \"b\\n\": y}\n# x"))
	f.Fuzz(func(t *testing.T, content []byte) {
		if text := string(content); strings.Contains(text, "/dev/") || strings.Contains(text, "/proc/") {
			return // files without an end
		}
		path := filepath.Join(dir, "web.yml")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path, zap.NewNop()); err != nil {
			text := err.Error()
			if !strings.Contains(text, path) || strings.Contains(text, "\n") || !utf8.ValidString(text) {
				t.Errorf("error %q", text)
			}
		}
	})
}
