package e2e

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"stap-exporter/test/harness"
)

// startNginx starts a real nginx that listens on address and passes requests
// below /stap/ to target, without that prefix. It ends with the test.
func startNginx(t *testing.T, address, target string) {
	t.Helper()
	program := harness.NeedProgram(t, "nginx")
	dir := t.TempDir()
	config := fmt.Sprintf(`
daemon off; master_process off; pid pid; error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {
    listen %s;
    location /stap/ { proxy_pass %s/; }
  }
}
`, address, target)
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-p", dir, "-c", "nginx.conf", "-e", "stderr")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		killed := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait() // the result does not matter
		killed.Stop()
	})
	harness.Eventually(t, "nginx listens", func() bool {
		reply, err := http.Get("http://" + address + "/")
		if err != nil {
			return false
		}
		reply.Body.Close()
		return true
	})
}

// Behind a real proxy, below a path, the links of the pages lead to each other
// and to the scripts, and a real Prometheus discovers and scrapes the scripts.
func TestBehindAProxyWithAPath(t *testing.T) {
	harness.NeedStap(t)
	harness.NeedProgram(t, "nginx")
	harness.NeedProgram(t, "prometheus")
	t.Parallel()
	// On 127.0.0.2, where no client's end of a connection can take the port
	// before nginx does.
	address := strings.Replace(freePort(t), "127.0.0.1", "127.0.0.2", 1)
	root := "http://" + address + "/stap/"
	e := harness.Start(t, harness.ScriptDir(t, map[string]string{
		"counting.stp":         harness.Counting,
		"a:b 100% #1.stp":      harness.Counting,
		"never-up.stp":         "#!/bin/sh\nexec sleep 300 # \"$@\"\n",
		"ends-autostart.stp":   "#!/bin/sh\nexit 1\n",
		"steady-autostart.stp": harness.Counting,
	}), "--cache.dir="+t.TempDir(), "--web.external-url="+strings.TrimSuffix(root, "/"))
	startNginx(t, address, e.URL)

	browse := func(address string) harness.Page {
		t.Helper()
		r, err := http.NewRequest(http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", "text/html")
		reply, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer reply.Body.Close()
		body, err := io.ReadAll(reply.Body)
		if err != nil {
			t.Fatal(err)
		}
		return harness.Page{Code: reply.StatusCode, Header: reply.Header, Body: string(body)}
	}
	// links returns the addresses of a page's links, as a browser resolves
	// them.
	links := func(at string, p harness.Page) (list []string) {
		t.Helper()
		base, err := url.Parse(at)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`<a href="([^"]*)"`).FindAllStringSubmatch(p.Body, -1) {
			to, err := base.Parse(html.UnescapeString(m[1]))
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, to.String())
		}
		return list
	}

	list := browse(strings.TrimSuffix(root, "/")) // nginx redirects to the path with a slash
	scripts := links(root, list)
	if list.Code != 200 || len(scripts) != 5 {
		t.Fatalf("list: %d, links %q", list.Code, scripts)
	}
	for _, to := range scripts {
		var p harness.Page
		harness.Eventually(t, to+" is a script", func() bool {
			p = browse(to)
			return p.Code == 200 || p.Code == 503 && strings.Contains(to, "ends") || strings.Contains(to, "never")
		})
		if !strings.HasPrefix(to, root) {
			t.Errorf("the list leads to %s", to)
		}
		if strings.Contains(to, "never") {
			if back := links(to, p); p.Code != 503 || len(back) != 1 || back[0] != root {
				t.Errorf("%s: %d, leads to %q, want %s", to, p.Code, back, root)
			}
		}
	}
	if back := browse(root + "none.stp"); back.Code != 404 {
		t.Errorf("no script: %d", back.Code)
	}

	p := startPrometheus(t, fmt.Sprintf(`
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
- {job_name: scripts, http_sd_configs: [{url: "%[1]ssd", refresh_interval: 1s}]}
- {job_name: all, http_sd_configs: [{url: "%[1]ssd?mode=all", refresh_interval: 1s}]}
- {job_name: own, metrics_path: /stap/metrics, static_configs: [{targets: [%[2]q]}]}
`, root, address))
	for _, expr := range []string{
		fmt.Sprintf(`sum(up{job="scripts",instance=%q} == 1) == 3`, address),
		`up{job="scripts",script="a:b 100% #1.stp"} == 1`,
		`seq{job="scripts",script="steady-autostart.stp",name="0"} > 0`,
		`up{job="scripts",script="ends-autostart.stp"} == 0`,
		`stap_exporter_script_up{job="all",script="counting.stp"} == 1`,
		`stap_exporter_scripts{job="own"} == 5`,
	} {
		harness.Eventually(t, expr, func() bool { return len(p.query(expr)) == 1 })
	}
}
