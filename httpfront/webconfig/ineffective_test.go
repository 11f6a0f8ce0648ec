package webconfig

import (
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"stap-exporter/httpfront/internal/testpki"
)

// Settings that protect nothing are logged, those that do are not.
func TestIneffectiveSettings(t *testing.T) {
	const (
		cert  = "  cert_file: server.crt\n  key_file: server.key\n"
		ca    = "  client_ca_file: ca.crt\n"
		names = "  client_allowed_sans: [client]\n"
		auth  = "  client_auth_type: "
	)
	dir := t.TempDir()
	testpki.New(t, dir, "ca").Issue("server")
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"no TLS":              {"", nil},
		"certificate":         {cert, nil},
		"verified":            {cert + auth + "RequireAndVerifyClientCert\n" + ca + names, nil},
		"names without type":  {cert + names, []string{"client_allowed_sans has no effect: set"}},
		"names with NoClient": {cert + auth + "NoClientCert\n" + names, []string{"client_allowed_sans"}},
		"names of any issuer": {
			cert + auth + "RequireAnyClientCert\n" + names,
			[]string{"any issuer", "anyone can issue"},
		},
		"any issuer":            {cert + auth + "RequestClientCert\n", []string{"any issuer"}},
		"optional":              {cert + auth + "VerifyClientCertIfGiven\n" + ca, []string{"without a certificate"}},
		"optional, with names":  {cert + auth + "VerifyClientCertIfGiven\n" + ca + names, nil},
		"names, no certificate": {names, []string{"plain HTTP"}},
		"version only":          {"  min_version: TLS13\n", []string{"plain HTTP"}},
	} {
		t.Run(name, func(t *testing.T) {
			core, logs := observer.New(zap.WarnLevel)
			path := filepath.Join(dir, "web.yml")
			text := ""
			if c.text != "" {
				text = "tls_server_config:\n" + c.text
			}
			testpki.WriteFile(t, path, text)
			if _, err := Load(path, zap.New(core)); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, line := range logs.All() {
				got = append(got, line.ContextMap()["reason"].(string))
			}
			if len(got) != len(c.want) {
				t.Fatalf("logged %q, want %q", got, c.want)
			}
			for i, want := range c.want {
				if !strings.Contains(got[i], want) {
					t.Errorf("logged %q, want %q", got[i], want)
				}
			}
		})
	}
}
