// Package webconfig reads the web config file: TLS, basic authentication, a
// rate limit and response headers. It is the file that node_exporter and
// Prometheus take, see
// https://prometheus.io/docs/prometheus/latest/configuration/https/.
//
// The files:
//   - config.go: the file and the rules for it
//   - position.go: errors that name the line
//   - certificates.go: TLS, with certificates that follow their files
//   - basicauth.go: users and passwords
package webconfig

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
	"go.uber.org/zap"
	"go.yaml.in/yaml/v2"
	"golang.org/x/time/rate"
)

// Config is a web config file, read and checked. One value is one reading of
// the file. Nothing in it changes except the certificates, which follow their
// files.
//
// Methods may be called from any goroutine. A nil Config is that of a server
// without such a file: no TLS, no users, no rate limit, no headers.
type Config struct {
	path         string
	log          *zap.Logger
	certificates *certificates  // nil: plain HTTP
	auth         *authenticator // nil: no users
	limiter      *rate.Limiter  // nil: no limit
	headers      []Header
}

// A Header is a response header, in canonical form.
type Header struct{ Name, Value []byte }

// Load reads the web config file at path and the certificates that it names. An
// error names the file and, where it can, the line.
//
// Parsing and rules are exporter-toolkit's own, so that a file means here what
// it means to other exporters. Two things that exporter-toolkit accepts are
// errors here: a client CA file without a certificate, and a rate limit that
// lets no request through. http2 is accepted and has no effect: this server
// speaks HTTP/1.1.
//
// Load logs settings that protect nothing. The Config logs to log when
// certificates are read again, or cannot be.
func Load(path string, log *zap.Logger) (*Config, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read web config: %w", err)
	}
	// The same as exporter-toolkit's getConfig, which is not exported.
	parsed := web.Config{
		TLSConfig:  web.TLSConfig{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS13},
		HTTPConfig: web.HTTPConfig{HTTP2: true},
	}
	at := positions{path: path, content: string(content)}
	if err := yaml.UnmarshalStrict(content, &parsed); err != nil {
		return nil, at.yaml(err)
	}
	parsed.TLSConfig.SetDirectory(filepath.Dir(path))

	c := &Config{path: path, log: log}
	if c.auth, err = newAuthenticator(parsed.Users); err != nil {
		return nil, at.user(err)
	}
	if c.limiter, err = newLimiter(parsed.RateLimiterConfig); err != nil {
		return nil, at.key(err, "rate_limit")
	}
	if parsed.TLSConfig.IsEnabled() {
		if c.certificates, err = newCertificates(&parsed.TLSConfig, log); err != nil {
			return nil, at.tls(err, &parsed.TLSConfig)
		}
	}
	for name, value := range parsed.HTTPConfig.Header {
		c.headers = append(c.headers, Header{[]byte(name), []byte(value)})
	}
	slices.SortFunc(c.headers, func(a, b Header) int { return strings.Compare(string(a.Name), string(b.Name)) })
	// The final check is exporter-toolkit's: which headers may be set, and any
	// rule that a new version of it brings.
	if err := web.Validate(path); err != nil {
		for name := range parsed.HTTPConfig.Header {
			if strings.Contains(err.Error(), name) {
				return nil, at.key(err, name)
			}
		}
		return nil, at.line(err, 0)
	}
	for _, text := range ineffective(&parsed.TLSConfig) {
		log.Warn("web config protects less than it seems to", zap.String("file", path), zap.String("reason", text))
	}
	return c, nil
}

// Reload reads the same file again. c stays as it is. Users whose hash is the
// same stay logged in. The Reload of a nil Config is nil.
func (c *Config) Reload() (*Config, error) {
	if c == nil {
		return nil, nil
	}
	next, err := Load(c.path, c.log)
	if err != nil {
		return nil, err
	}
	next.auth.inherit(c.auth)
	return next, nil
}

// TLS returns the configuration for tls.Server, nil for plain HTTP.
func (c *Config) TLS() *tls.Config {
	if c == nil || c.certificates == nil {
		return nil
	}
	return c.certificates.server
}

// Login checks the value of an Authorization header, which it does not keep. It
// accepts any, an empty one too, when the file has no users. It may take as
// long as several bcrypts.
func (c *Config) Login(authorization []byte) Login {
	if c == nil || c.auth == nil {
		return LoginAccepted
	}
	return c.auth.login(authorization)
}

// Allow counts a request towards the rate limit. When it returns false, the
// request is over the limit and can be sent again after retryAfter.
func (c *Config) Allow() (retryAfter time.Duration, ok bool) {
	if c == nil || c.limiter == nil || c.limiter.Allow() {
		return 0, true
	}
	return time.Duration(float64(time.Second) / float64(c.limiter.Limit())), false
}

// Headers returns the response headers, sorted by name. The caller must not
// change them.
func (c *Config) Headers() []Header {
	if c == nil {
		return nil
	}
	return c.headers
}

func newLimiter(c web.RateLimiterConfig) (*rate.Limiter, error) {
	switch {
	case c.Interval == 0:
		return nil, nil
	case c.Interval < 0:
		return nil, errors.New("rate_limit: interval is below 0")
	case c.Burst < 1:
		return nil, errors.New("rate_limit: burst must be at least 1, otherwise every request is rejected")
	}
	return rate.NewLimiter(rate.Every(c.Interval), c.Burst), nil
}
