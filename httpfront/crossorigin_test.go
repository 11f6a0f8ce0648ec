package httpfront

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"go.uber.org/zap"
)

// Pages of other sites cannot operate scripts, and clients that are not
// browsers can. The first two groups are net/http's test cases of
// CrossOriginProtection.
func TestCrossOrigin(t *testing.T) {
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	const (
		own      = "127.0.0.1:9900"
		service  = "stap.monitoring.svc:9900"
		external = "https://trusted.example"
	)
	for _, c := range []struct {
		name, host, site, origin string
		external                 string // --web.external-url
		allowed                  bool
	}{
		{name: "same-origin", host: own, site: "same-origin", allowed: true},
		{name: "none", host: own, site: "none", allowed: true},
		{name: "cross-site", host: own, site: "cross-site"},
		{name: "same-site", host: own, site: "same-site"},
		{name: "neither header", host: own, allowed: true},
		{name: "matching origin", host: own, origin: "http://" + own, allowed: true},
		{name: "other origin", host: own, origin: "https://attacker.example"},
		{name: "null origin", host: own, origin: "null"},

		{name: "trusted", host: own, external: external, origin: external, allowed: true},
		{
			name: "trusted and cross-site", host: own, external: external, allowed: true,
			site: "cross-site", origin: external,
		},
		{
			name:     "other than trusted",
			host:     own,
			external: external,
			origin:   "https://attacker.example",
		},
		{
			name: "other than trusted, cross-site", host: own, external: external,
			site: "cross-site", origin: "https://attacker.example",
		},

		// what the rule is about
		{name: "other port", host: own, origin: "http://127.0.0.1:8080"},
		{name: "no port", host: own, origin: "http://127.0.0.1"},
		{
			name:   "cross-site of the matching origin",
			host:   own,
			site:   "cross-site",
			origin: "http://" + own,
		},
		{name: "unknown site", host: own, site: "future", origin: "http://" + own},
		{name: "broken origin", host: own, origin: "http://%zz"},
		{name: "origin with the host as its path", host: own, origin: "http://attacker.example/" + own},
		{name: "origin with the host as its user", host: own, origin: "http://" + own + "@attacker.example"},
		{
			name:     "trusted by another scheme",
			host:     own,
			external: external,
			origin:   "http://trusted.example",
		},
		{
			name:     "trusted with its port",
			host:     own,
			external: external + ":443/stap",
			origin:   external,
			allowed:  true,
		},

		// a name that another site's author can let resolve to this server
		{name: "rebinding, http", host: "attacker.example:9900", origin: "http://attacker.example:9900"},
		{
			name:   "rebinding, https",
			host:   "attacker.example",
			site:   "same-origin",
			origin: "https://attacker.example",
		},
		{name: "rebinding, no origin", host: "attacker.example", site: "same-origin"},
		{name: "rebinding, with this machine's name", host: machine + ".attacker.example", site: "none"},
		{name: "rebinding, like an address", host: "127.0.0.1.attacker.example", site: "none"},
		{name: "Kubernetes service, browser", host: service, origin: "http://" + service},

		{name: "IPv6", host: "[::1]:9900", origin: "http://[::1]:9900", allowed: true},
		{name: "localhost", host: "localhost:9900", site: "same-origin", allowed: true},
		{
			name:    "this machine",
			host:    machine + ":9900",
			origin:  "http://" + machine + ":9900",
			allowed: true,
		},
		{
			name: "this machine, upper case", host: strings.ToUpper(machine), allowed: true,
			origin: "http://" + strings.ToLower(machine),
		},
		{
			name: "proxy that passes Host", external: external + "/stap", allowed: true,
			host: "trusted.example", site: "same-origin", origin: external,
		},
		{
			name: "proxy that changes Host", external: external + "/stap", allowed: true,
			host: own, site: "same-origin", origin: external,
		},

		// not a browser
		{name: "curl, any name", host: "attacker.example", allowed: true},
		{name: "Kubernetes service", host: service, allowed: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fakeLifecycle{}
			cfg := Config{
				Scripts:         &fakeScripts{},
				Logger:          zap.NewNop(),
				Lifecycle:       f,
				EnableLifecycle: true,
			}
			if c.external != "" {
				if cfg.ExternalURL, err = ParseExternalURL(c.external); err != nil {
					t.Fatal(err)
				}
			}
			addr := serve(t, New(cfg))
			for target, call := range map[string]string{
				"/-/reload":                   "reload ",
				"/api/v1/scripts/a.stp/start": "start a.stp",
			} {
				raw := "POST " + target + " HTTP/1.1\r\nHost: " + c.host +
					"\r\nConnection: close\r\nContent-Length: 0\r\n"
				for name, value := range map[string]string{"Sec-Fetch-Site": c.site, "Origin": c.origin} {
					if value != "" {
						raw += name + ": " + value + "\r\n"
					}
				}
				got, called := send(t, addr, http.MethodPost, raw+"\r\n"), f.last() == call
				if (got.code < 300) != c.allowed || called != c.allowed || !c.allowed && got.code != 403 {
					t.Errorf("POST %s: %d %q, called: %v", target, got.code, got.body, called)
				}
			}
		})
	}
}

// The reply to a name that is not this machine's has a remedy.
func TestCrossOriginRemedy(t *testing.T) {
	addr := startLifecycle(t, &fakeLifecycle{}, true)
	got := send(t, addr, "POST", "POST /-/reload HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n"+
		"Origin: http://a.example\r\nConnection: close\r\n\r\n")
	if got.code != 403 || !strings.Contains(got.body, `"a.example"`) ||
		!strings.Contains(got.body, "--web.external-url") {
		t.Errorf("%d %q", got.code, got.body)
	}
}
