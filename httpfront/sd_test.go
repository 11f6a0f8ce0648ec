package httpfront

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

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

// group is one target as /sd is to give it.
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
	if err := json.Unmarshal(
		[]byte(got.body),
		&groups,
	); err != nil || got.code != 200 ||
		got.header.Get("Content-Type") != "application/json" {
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
			st.Script.Directives.ScrapeInterval, st.Script.Directives.ScrapeTimeout = 90*time.Second, 2500*time.Millisecond
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
	all := func(at string, scheme ...string) []targetGroup {
		return []targetGroup{
			group(
				at,
				append(
					scheme,
					"__metrics_path__",
					"/a.stp",
					"script",
					"a.stp",
					"runtime",
					"kernel",
					"autostart",
					"false",
				)...),
			group(
				at,
				append(
					scheme,
					"__metrics_path__",
					"/100% ü?.stp",
					"script",
					"100% ü?.stp",
					"runtime",
					"bpf",
					"autostart",
					"true",
					"__scrape_interval__",
					"90000ms",
					"__scrape_timeout__",
					"2500ms",
				)...),
			group(
				at,
				append(
					scheme,
					"__metrics_path__",
					"/wrapper.stp",
					"script",
					"wrapper.stp",
					"runtime",
					"own",
					"autostart",
					"false",
					"__scrape_interval__",
					"5000ms",
					"__scrape_timeout__",
					"5000ms",
				)...),
			group(
				at,
				append(
					scheme,
					"__metrics_path__",
					"/slow.stp",
					"script",
					"slow.stp",
					"runtime",
					"kernel",
					"autostart",
					"false",
					"__scrape_interval__",
					"3600000ms",
					"__scrape_timeout__",
					"60000ms",
				)...),
		}
	}
	for host, at := range map[string]string{
		"stap.example:9900": "stap.example:9900", "stap.example": "stap.example:80", "192.0.2.1": "192.0.2.1:80",
		"[2001:db8::1]:9900": "[2001:db8::1]:9900", "[2001:db8::1]": "[2001:db8::1]:80", "localhost:1": "localhost:1", "stap.example:": "stap.example:80",
	} {
		checkGroups(
			t,
			send(
				t,
				addr,
				"GET",
				"GET /sd?x=y HTTP/1.1\r\nHost: "+host+"\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\n\r\n",
			),
			all(at)...)
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
	if got := get(
		t,
		addr,
		"GET",
		"/sd?mode=none",
	); got.code != 400 ||
		!strings.Contains(got.body, "mode is to be all") {
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
		checkGroups(
			t,
			get(t, addr, "GET", "/sd?mode=all"),
			group(want[0], "__scheme__", want[1], "__metrics_path__", want[2]+"/all"),
		)
	}
	if len(scripts.asked()) > 0 {
		t.Errorf("discovery asked for %q", scripts.asked())
	}
}

func TestEmptyDiscovery(t *testing.T) {
	_, addr := start(
		t,
		&fakeScripts{
			statuses: []*scrape.Status{
				status(scrape.Idle, func(st *scrape.Status) { st.Script.Refused = errors.New("no") }),
			},
		},
		nil,
	)
	got := get(t, addr, "GET", "/sd")
	checkGroups(t, got)
	if got.body != "[]\n" {
		t.Errorf("%q", got.body)
	}
}

// needPrometheus returns the program; "make test" gets it.
func needPrometheus(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("Prometheus is not there: run make test, or apt install prometheus")
	}
	return path
}

// A real Prometheus finds the scripts by /sd and scrapes them, over TLS and
// with a login; names that need encoding come through.
func TestPrometheusDiscoversAndScrapes(t *testing.T) {
	program := needPrometheus(t)
	dir := t.TempDir()
	newAuthority(t, dir, "ca").issue("server")
	names := []string{"a.stp", "a b.stp", "100%.stp", "ü?x.stp", "a%20b.stp"}
	scripts := serveBody("count{cpu=\"0\"} 7\n", names...)
	for _, name := range names {
		scripts.statuses = append(scripts.statuses, status(scrape.Running, func(st *scrape.Status) {
			st.Script.Name = name
			st.Script.Directives.ScrapeInterval = time.Second
		}))
	}
	_, addr := startWith(
		t,
		scripts,
		dir,
		serverTLS+"basic_auth_users:\n  prom: "+hashOf(t, "secret", bcrypt.MinCost)+"\n",
		nil,
	)

	const client = "tls_config: {ca_file: ca.crt}\n    basic_auth: {username: prom, password: secret}\n"
	writeFile(
		t,
		filepath.Join(dir, "prometheus.yml"),
		"scrape_configs:\n- job_name: stap\n  scrape_interval: 1m\n  scrape_timeout: 10s\n  "+strings.ReplaceAll(
			client,
			"\n    ",
			"\n  ",
		)+
			"  http_sd_configs:\n  - url: https://"+addr+"/sd\n    refresh_interval: 1s\n    "+client,
	)
	free, err := Listen([]string{"127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	api := free[0].Addr().String()
	_ = free[0].Close()
	var log bytes.Buffer
	cmd := exec.Command(
		program,
		"--config.file=prometheus.yml",
		"--storage.tsdb.path=data",
		"--web.listen-address="+api,
	)
	cmd.Dir, cmd.Stderr = dir, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	defer func() {
		_ = cmd.Process.Kill()
		<-exited
		if t.Failed() {
			t.Logf("log of Prometheus:\n%s", log.String())
		}
	}()

	web := &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second}
	defer web.CloseIdleConnections()
	query := "/api/v1/query?query=" + url.QueryEscape(
		`count{job="stap",runtime="auto",instance="`+addr+`"} == 7 and on(script) (up == 1)`,
	)
	found := map[string]bool{}
	for end := time.Now().Add(time.Minute); len(found) < len(names); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("Prometheus has the samples of %v", found)
		}
		select {
		case <-exited:
			t.Fatal("Prometheus ended")
		default:
		}
		var answer struct {
			Data struct {
				Result []struct{ Metric map[string]string }
			}
		}
		if getJSON(web, "http://"+api+query, &answer) != nil {
			continue // it does not listen yet
		}
		for _, series := range answer.Data.Result {
			found[series.Metric["script"]] = true
		}
	}
	for _, name := range names {
		if !found[name] {
			t.Errorf("no samples of %q", name)
		}
	}
}

func getJSON(client *http.Client, address string, v any) error {
	resp, err := client.Get(address)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != 200 {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return json.Unmarshal(body, v)
}
