package httpfront

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"stap-exporter/httpfront/internal/testpki"
	"stap-exporter/httpfront/listen"
	"stap-exporter/internal/scrape"
)

// scrapeConfig is Prometheus's configuration. %s is the server's address.
const scrapeConfig = `scrape_configs:
- job_name: stap
  scrape_interval: 1m
  scrape_timeout: 10s
  tls_config: {ca_file: ca.crt}
  basic_auth: {username: prom, password: secret}
  http_sd_configs:
  - url: https://%s/sd
    refresh_interval: 1s
    tls_config: {ca_file: ca.crt}
    basic_auth: {username: prom, password: secret}
`

// A real Prometheus finds the scripts with /sd and scrapes them, over TLS and
// with a login. Some names need encoding.
func TestPrometheusDiscoversAndScrapes(t *testing.T) {
	dir := t.TempDir()
	testpki.New(t, dir, "ca").Issue("server")
	names := []string{"a.stp", "a b.stp", "100%.stp", "ü?x.stp", "a%20b.stp"}
	scripts := serveBody("count{cpu=\"0\"} 7\n", names...)
	for _, name := range names {
		scripts.statuses = append(scripts.statuses, status(scrape.Running, func(st *scrape.Status) {
			st.Script.Name = name
			st.Script.Directives.ScrapeInterval = time.Second
		}))
	}
	users := "basic_auth_users:\n  prom: " + hashOf(t, "secret") + "\n"
	_, addr := startWith(t, scripts, dir, serverTLS+users, nil)
	testpki.WriteFile(t, filepath.Join(dir, "prometheus.yml"), fmt.Sprintf(scrapeConfig, addr))
	api, exited := startPrometheus(t, dir)

	client := &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
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
		if getJSON(client, "http://"+api+query, &answer) != nil {
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

// startPrometheus runs Prometheus in dir until the test ends. It returns the
// address of its API and a channel that is closed when it exits. make test
// installs Prometheus.
func startPrometheus(t *testing.T, dir string) (api string, exited <-chan struct{}) {
	t.Helper()
	skipIfShort(t, "needs Prometheus")
	path, err := exec.LookPath("prometheus")
	if err != nil {
		path, err = filepath.Abs("../bin/peers/usr/bin/prometheus") // unpacked by make test
	}
	if err != nil {
		t.Fatal(err)
	}
	free, err := listen.Listen([]string{"127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	api = free[0].Addr().String()
	_ = free[0].Close()
	var log bytes.Buffer
	cmd := exec.Command(path, "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address="+api)
	cmd.Dir, cmd.Stderr = dir, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
		if t.Failed() {
			t.Logf("log of Prometheus:\n%s", log.String())
		}
	})
	return api, done
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
