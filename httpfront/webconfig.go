package httpfront

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
	"go.uber.org/zap"
	"go.yaml.in/yaml/v2"
	"golang.org/x/time/rate"
)

// WebConfig is a web config file, read and checked: the file that node_exporter
// and Prometheus take, see
// https://prometheus.io/docs/prometheus/latest/configuration/https/.
// One value is one reading of the file, and nothing in it changes but the
// certificates, which follow their files.
type WebConfig struct {
	path    string
	tls     *certificates // nil: plain HTTP
	auth    *authenticator
	limiter *rate.Limiter // nil: no limit
	headers []header
}

// header is a response header of http_server_config, in the form that fasthttp
// takes without a copy.
type header struct{ name, value []byte }

// LoadWebConfig reads the web config file at path, and the certificates that it
// names. The error names the file and, where one is to blame, the line.
//
// Parsing and rules are exporter-toolkit's own, so that a file means here what
// it means to other exporters. Two things that it lets pass are wrong here: a
// client CA file without a certificate, and a rate limit that lets no request
// through. http2 is accepted and has no effect: this server speaks HTTP/1.1.
//
// log is told when certificates are read again, or cannot be.
func LoadWebConfig(path string, log *zap.Logger) (*WebConfig, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read web config: %w", err)
	}
	// What exporter-toolkit's own getConfig does, which is not exported.
	parsed := web.Config{
		TLSConfig:  web.TLSConfig{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS13},
		HTTPConfig: web.HTTPConfig{HTTP2: true},
	}
	blame := blamer{path: path, content: string(content)}
	if err := yaml.UnmarshalStrict(content, &parsed); err != nil {
		return nil, blame.yaml(err)
	}
	parsed.TLSConfig.SetDirectory(filepath.Dir(path))

	w := &WebConfig{path: path}
	if w.auth, err = newAuthenticator(parsed.Users); err != nil {
		return nil, blame.user(err)
	}
	if w.limiter, err = newLimiter(parsed.RateLimiterConfig); err != nil {
		return nil, blame.key(err, "rate_limit")
	}
	if parsed.TLSConfig.IsEnabled() {
		if w.tls, err = newCertificates(&parsed.TLSConfig, log); err != nil {
			return nil, blame.tls(err, &parsed.TLSConfig)
		}
	}
	for name, value := range parsed.HTTPConfig.Header {
		w.headers = append(w.headers, header{[]byte(name), []byte(value)})
	}
	slices.SortFunc(w.headers, func(a, b header) int { return strings.Compare(string(a.name), string(b.name)) })
	// The last word is exporter-toolkit's: the headers that may be set, and
	// whatever rule comes with a new version of it.
	if err := web.Validate(path); err != nil {
		for name := range parsed.HTTPConfig.Header {
			if strings.Contains(err.Error(), name) {
				return nil, blame.key(err, name)
			}
		}
		return nil, blame.line(err, 0)
	}
	return w, nil
}

func newLimiter(c web.RateLimiterConfig) (*rate.Limiter, error) {
	switch {
	case c.Interval == 0:
		return nil, nil
	case c.Interval < 0:
		return nil, errors.New("rate_limit: interval is below 0")
	case c.Burst < 1:
		return nil, errors.New("rate_limit: burst is to be at least 1, or every request would be refused")
	}
	return rate.NewLimiter(rate.Every(c.Interval), c.Burst), nil
}

// retryAfter is when a request that the limiter refused may come again.
func (w *WebConfig) retryAfter() time.Duration {
	return time.Duration(float64(time.Second) / float64(w.limiter.Limit()))
}

// userError is about one entry of basic_auth_users.
type userError struct {
	user string
	err  error
}

func (e *userError) Error() string {
	return fmt.Sprintf("basic_auth_users: user %q: %v", e.user, e.err)
}
func (e *userError) Unwrap() error { return e.err }

// blamer makes errors that say where in the file their cause stands.
type blamer struct{ path, content string }

var (
	yamlLine  = regexp.MustCompile(`(?s)^yaml: (?:unmarshal errors:\n +)?line ([0-9]+): (.*)$`)
	badScalar = regexp.MustCompile(`unknown (?:cipher|curve|TLS version): (.*)$`)
)

func (b blamer) line(err error, n int) error {
	if n == 0 {
		return fmt.Errorf("web config %s: %w", b.path, err)
	}
	return fmt.Errorf("web config %s:%d: %w", b.path, n, err)
}

// yaml is for what the parser says: mostly "line N: …", several of them on
// lines of their own. It quotes the file and cuts what is long, also in the
// middle of a character.
func (b blamer) yaml(err error) error {
	said := strings.ToValidUTF8(err.Error(), "\uFFFD")
	if m := yamlLine.FindStringSubmatch(said); m != nil {
		text := strings.Join(strings.Fields(strings.ReplaceAll(m[2], "\n", "; ")), " ")
		return fmt.Errorf("web config %s:%s: %s", b.path, m[1], text)
	}
	if m := badScalar.FindStringSubmatch(said); m != nil {
		return b.line(errors.New(said), b.find(regexp.QuoteMeta(m[1])))
	}
	return b.line(errors.New(strings.TrimPrefix(said, "yaml: ")), 0)
}

func (b blamer) user(err error) error {
	if u, ok := errors.AsType[*userError](err); ok {
		return b.key(err, u.user)
	}
	return b.key(err, "basic_auth_users")
}

// tls finds the setting that an error of exporter-toolkit or crypto/tls is
// about.
func (b blamer) tls(err error, c *web.TLSConfig) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "cert_file ("):
		return b.key(err, "cert_file")
	case strings.Contains(text, "key_file ("):
		return b.key(err, "key_file")
	case strings.Contains(text, "X509KeyPair"):
		return b.key(fmt.Errorf("certificate and key: %w", err), "cert_file", "cert")
	case strings.Contains(text, "ClientAuth"):
		return b.key(err, "client_auth_type")
	case strings.Contains(text, "client CA"), c.ClientCAs != "" && strings.Contains(text, c.ClientCAs):
		return b.key(err, "client_ca_file", "client_ca")
	}
	return b.key(err, "tls_server_config")
}

// key blames the first line in which one of the keys stands.
func (b blamer) key(err error, keys ...string) error {
	for _, k := range keys {
		if n := b.find(`(?:^|[\s{,])["']?` + regexp.QuoteMeta(k) + `["']?\s*:`); n > 0 {
			return b.line(err, n)
		}
	}
	return b.line(err, 0)
}

// find returns the number of the first line that matches outside a comment, or
// 0.
func (b blamer) find(pattern string) int {
	re, n := regexp.MustCompile(pattern), 0
	for line := range strings.Lines(b.content) {
		n++
		if !strings.HasPrefix(strings.TrimSpace(line), "#") && re.MatchString(line) {
			return n
		}
	}
	return 0
}
