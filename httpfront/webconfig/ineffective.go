package webconfig

import (
	"crypto/tls"
	"fmt"

	"github.com/prometheus/exporter-toolkit/web"
)

// ineffective names the settings of tls_server_config that look like protection
// and are none. exporter-toolkit accepts them, so they are no errors here.
func ineffective(c *web.TLSConfig) (list []string) {
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	names := len(c.ClientAllowedSans) > 0
	if !c.IsEnabled() {
		if names || len(c.CipherSuites) > 0 || len(c.CurvePreferences) > 0 ||
			c.MinVersion != tls.VersionTLS12 || c.MaxVersion != tls.VersionTLS13 {
			add("tls_server_config has no effect without cert_file and key_file: the port speaks plain HTTP")
		}
		return list
	}
	switch c.ClientAuth {
	case "", "NoClientCert":
		if names {
			add("client_allowed_sans has no effect: set client_auth_type to RequireAndVerifyClientCert")
		}
	case "RequestClientCert", "RequireAnyClientCert":
		add("client_auth_type %s accepts certificates of any issuer: use RequireAndVerifyClientCert", c.ClientAuth)
		if names {
			add("client_allowed_sans has no effect: anyone can issue a certificate with these names")
		}
	case "VerifyClientCertIfGiven":
		if !names {
			add("client_auth_type VerifyClientCertIfGiven accepts clients without a certificate: " +
				"use RequireAndVerifyClientCert")
		}
	}
	return list
}
