package webconfig

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/prometheus/exporter-toolkit/web"
)

// A userError is about one entry of basic_auth_users.
type userError struct {
	user string
	err  error
}

func (e *userError) Error() string {
	return fmt.Sprintf("basic_auth_users: user %q: %v", e.user, e.err)
}
func (e *userError) Unwrap() error { return e.err }

// positions makes errors that name the file and the line of their cause.
type positions struct{ path, content string }

var (
	yamlLine  = regexp.MustCompile(`(?s)^yaml: (?:unmarshal errors:\n +)?line ([0-9]+): (.*)$`)
	badScalar = regexp.MustCompile(`unknown (?:cipher|curve|TLS version): (.*)$`)
)

// line names line n, or only the file when n is 0.
func (p positions) line(err error, n int) error {
	if n == 0 {
		return fmt.Errorf("web config %s: %w", p.path, err)
	}
	return fmt.Errorf("web config %s:%d: %w", p.path, n, err)
}

// yaml is for errors of the parser: mostly "line N: …", several of them on
// separate lines. The parser quotes the file and cuts what is long, even in the
// middle of a character.
func (p positions) yaml(err error) error {
	text := strings.ToValidUTF8(err.Error(), "\uFFFD")
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		text = strings.Join(strings.Fields(strings.ReplaceAll(m[2], "\n", "; ")), " ")
		return fmt.Errorf("web config %s:%s: %s", p.path, m[1], text)
	}
	if m := badScalar.FindStringSubmatch(text); m != nil {
		return p.line(errors.New(text), p.find(regexp.QuoteMeta(m[1])))
	}
	return p.line(errors.New(strings.TrimPrefix(text, "yaml: ")), 0)
}

// user is for errors of newAuthenticator.
func (p positions) user(err error) error {
	if u, ok := errors.AsType[*userError](err); ok {
		return p.key(err, u.user)
	}
	return p.key(err, "basic_auth_users")
}

// tls is for errors of exporter-toolkit and crypto/tls: it finds the setting
// that caused one.
func (p positions) tls(err error, c *web.TLSConfig) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "cert_file ("):
		return p.key(err, "cert_file")
	case strings.Contains(text, "key_file ("):
		return p.key(err, "key_file")
	case strings.Contains(text, "X509KeyPair"):
		return p.key(fmt.Errorf("certificate and key: %w", err), "cert_file", "cert")
	case strings.Contains(text, "ClientAuth"):
		return p.key(err, "client_auth_type")
	case strings.Contains(text, "client CA"), c.ClientCAs != "" && strings.Contains(text, c.ClientCAs):
		return p.key(err, "client_ca_file", "client_ca")
	}
	return p.key(err, "tls_server_config")
}

// key names the first line that has one of the keys.
func (p positions) key(err error, keys ...string) error {
	for _, k := range keys {
		if n := p.find(`(?:^|[\s{,])["']?` + regexp.QuoteMeta(k) + `["']?\s*:`); n > 0 {
			return p.line(err, n)
		}
	}
	return p.line(err, 0)
}

// find returns the number of the first line outside comments that matches
// pattern, or 0.
func (p positions) find(pattern string) int {
	re, n := regexp.MustCompile(pattern), 0
	for line := range strings.Lines(p.content) {
		n++
		if !strings.HasPrefix(strings.TrimSpace(line), "#") && re.MatchString(line) {
			return n
		}
	}
	return 0
}
