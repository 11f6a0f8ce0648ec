package httpfront

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"stap-exporter/internal/scrape"
	"stap-exporter/internal/trust"
)

func TestParseExternalURL(t *testing.T) {
	for in, want := range map[string]string{
		"http://h":                      "http://h",
		"https://host.example:9/stap/":  "https://host.example:9/stap",
		"http://[2001:db8::1]:9900//":   "http://[2001:db8::1]:9900",
		"https://user:secret@h/":        "",
		"ftp://h":                       "",
		"h:9900":                        "",
		"//h":                           "",
		"http://":                       "",
		"http://:9900":                  "",
		"http://h:0":                    "",
		"http://h:99999":                "",
		"http://h:":                     "http://h:",
		"http://h?":                     "",
		"http://h/?a=b":                 "",
		"http://h/#a":                   "",
		"http://h\n":                    "",
		"":                              "",
		"http://h/a%20b":                "http://h/a%20b",
		"https://h.example/%zz":         "",
		"http://2001:db8::1:9900/":      "",
		"https://host.example/a/../b//": "https://host.example/a/../b",
	} {
		u, err := ParseExternalURL(in)
		if (err == nil) != (want != "") || err == nil && u.String() != want {
			t.Errorf("%q: %v, %v", in, u, err)
		}
	}
}

// group returns one target as /sd must send it.
func group(target string, labels ...string) targetGroup {
	g := targetGroup{Targets: []string{target}, Labels: map[string]string{}}
	for i := 0; i < len(labels); i += 2 {
		g.Labels[labels[i]] = labels[i+1]
	}
	return g
}

func checkGroups(t *testing.T, got reply, want ...targetGroup) {
	t.Helper()
	var groups []targetGroup
	err := json.Unmarshal([]byte(got.body), &groups)
	if err != nil || got.code != 200 || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("%d %s %v\n%s", got.code, got.header.Get("Content-Type"), err, got.body)
	}
	if len(groups) != len(want) || len(want) > 0 && !reflect.DeepEqual(groups, want) {
		t.Errorf("got %v\nwant %v", groups, want)
	}
}

func TestDiscovery(t *testing.T) {
	scripts := &fakeScripts{statuses: []*scrape.Status{
		status(scrape.Idle, nil),
		status(
			scrape.Idle,
			func(st *scrape.Status) { st.Script.Name, st.Script.Refused = "bad.stp", trust.ErrUntrusted },
		),
		status(scrape.Running, func(st *scrape.Status) {
			st.Script.Name, st.Script.Autostart, st.Script.Runtime = "100% ü?.stp", true, "bpf"
			st.Script.Directives.ScrapeInterval = 90 * time.Second
			st.Script.Directives.ScrapeTimeout = 2500 * time.Millisecond
		}),
		status(scrape.Idle, func(st *scrape.Status) {
			st.Script.Name, st.Script.Executable = "wrapper.stp", true
			st.Script.Directives.ScrapeInterval = 5 * time.Second
		}),
		status(scrape.Idle, func(st *scrape.Status) {
			st.Script.Name, st.Script.Runtime = "slow.stp", "auto"
			st.Script.Directives.ScrapeInterval = time.Hour
		}),
	}}
	s, addr := start(t, scripts, nil)
	s.cfg.Runtime = func() string { return "kernel" }
	all := func(at string, labels ...string) (groups []targetGroup) {
		for _, script := range []struct{ name, runtime, autostart, interval, timeout string }{
			{"a.stp", "kernel", "false", "", ""},
			{"100% ü?.stp", "bpf", "true", "90000ms", "2500ms"},
			{"wrapper.stp", "own", "false", "5000ms", "5000ms"},
			{"slow.stp", "kernel", "false", "3600000ms", "60000ms"},
		} {
			g := group(at, labels...)
			g.Labels["__metrics_path__"] = "/" + script.name
			g.Labels["script"] = script.name
			g.Labels["runtime"] = script.runtime
			g.Labels["autostart"] = script.autostart
			if script.interval != "" {
				g.Labels["__scrape_interval__"] = script.interval
				g.Labels["__scrape_timeout__"] = script.timeout
			}
			groups = append(groups, g)
		}
		return groups
	}
	for host, at := range map[string]string{
		"stap.example:9900":  "stap.example:9900",
		"stap.example":       "stap.example:80",
		"192.0.2.1":          "192.0.2.1:80",
		"[2001:db8::1]:9900": "[2001:db8::1]:9900",
		"[2001:db8::1]":      "[2001:db8::1]:80",
		"localhost:1":        "localhost:1",
		"stap.example:":      "stap.example:80",
	} {
		request := "GET /sd?x=y HTTP/1.1\r\nHost: " + host +
			"\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\n\r\n"
		checkGroups(t, send(t, addr, "GET", request), all(at)...)
	}
	checkGroups(t, get(t, addr, "GET", "http://proxy.example:8080/sd"), all("proxy.example:8080")...)
	checkGroups(t, send(t, addr, "GET", "GET /sd HTTP/1.0\r\n\r\n"), all(addr)...)
	checkGroups(t, get(t, addr, "GET", "/sd?mode=all"), group("x:80", "__metrics_path__", "/all"))
	checkCommonHeaders(t, get(t, addr, "GET", "/sd"))

	for _, host := range []string{"a b", "a/b", "a:port", "a:0", ":9900", "[::1"} {
		if got := send(t, addr, "GET", "GET /sd HTTP/1.1\r\nHost: "+host+"\r\n\r\n"); got.code != 400 {
			t.Errorf("Host %q: %d %q", host, got.code, got.body)
		}
	}
	if got := get(t, addr, "GET", "/sd?mode=none"); got.code != 400 || !strings.Contains(got.body, "mode must be all") {
		t.Errorf("%d %q", got.code, got.body)
	}

	for address, want := range map[string][]string{
		"https://stap.example/":             {"stap.example:443", "https", ""},
		"http://stap.example":               {"stap.example:80", "http", ""},
		"https://stap.example:8443/a/stap/": {"stap.example:8443", "https", "/a/stap"},
		"https://[2001:db8::2]/x%20y":       {"[2001:db8::2]:443", "https", "/x y"},
	} {
		s.cfg.ExternalURL, _ = ParseExternalURL(address)
		groups := all(want[0], "__scheme__", want[1])
		for _, g := range groups {
			g.Labels["__metrics_path__"] = want[2] + g.Labels["__metrics_path__"]
		}
		checkGroups(t, get(t, addr, "GET", "/sd"), groups...)
		one := group(want[0], "__scheme__", want[1], "__metrics_path__", want[2]+"/all")
		checkGroups(t, get(t, addr, "GET", "/sd?mode=all"), one)
	}
	if len(scripts.requested()) > 0 {
		t.Errorf("discovery requested %q", scripts.requested())
	}
}

func TestEmptyDiscovery(t *testing.T) {
	refused := status(scrape.Idle, func(st *scrape.Status) { st.Script.Refused = errors.New("no") })
	_, addr := start(t, &fakeScripts{statuses: []*scrape.Status{refused}}, nil)
	got := get(t, addr, "GET", "/sd")
	checkGroups(t, got)
	if got.body != "[]\n" {
		t.Errorf("%q", got.body)
	}
}
