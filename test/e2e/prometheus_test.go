package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"stap-exporter/test/harness"
)

// certify writes a certificate for the loopback interface and its key.
func certify(t *testing.T, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der},
		keyFile:  {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A real Prometheus discovers the scripts by /sd and scrapes them, one by one
// and all at once, over TLS and as a user.
func TestPrometheusDiscoversAndScrapes(t *testing.T) {
	harness.NeedStap(t)
	harness.NeedProgram(t, "prometheus")
	t.Parallel()
	dir := t.TempDir()
	hash, err := bcrypt.GenerateFromPassword([]byte("open sesame"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	certify(t, filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key"))
	web := filepath.Join(dir, "web.yml")
	if err := os.WriteFile(
		web,
		fmt.Appendf(
			nil,
			"tls_server_config: {cert_file: server.crt, key_file: server.key}\nbasic_auth_users: {prometheus: %q}\n",
			hash,
		),
		0o600,
	); err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile(filepath.Join(shipped, "example.stp"))
	if err != nil {
		t.Fatal(err)
	}
	e := harness.Start(t, harness.ScriptDir(t, map[string]string{
		"with 100% space.stp": string(example),
		"slow.stp":            "// stap-exporter: scrape-interval=3s\n" + harness.Counting,
		"autostart.stp":       harness.Counting,
	}), "--cache.dir="+t.TempDir(), "--web.config.file="+web)

	address := strings.TrimPrefix(e.URL, "http://")
	client := func(password string) string {
		return fmt.Sprintf(
			"tls_config: {ca_file: %s}, basic_auth: {username: prometheus, password: %s}",
			filepath.Join(dir, "server.crt"),
			password,
		)
	}
	p := startPrometheus(t, fmt.Sprintf(`
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
- {job_name: scripts, %[2]s, http_sd_configs: [{url: "https://%[1]s/sd", refresh_interval: 1s, %[2]s}]}
- {job_name: all, %[2]s, http_sd_configs: [{url: "https://%[1]s/sd?mode=all", refresh_interval: 1s, %[2]s}]}
- {job_name: stranger, scheme: https, metrics_path: /autostart.stp, %[3]s, static_configs: [{targets: ["%[1]s"]}]}
`, address, client("open sesame"), client("wrong")))

	for _, expr := range []string{
		`sum(up{job="scripts"} == 1) == 3`,
		`up{job="scripts",script="with 100% space.stp",runtime="bpf",autostart="false"} == 1`,
		`up{job="scripts",script="autostart.stp",autostart="true"} == 1`,
		`sum(count{job="scripts",script="with 100% space.stp"}) > 0`,
		`seq{job="scripts",script="slow.stp",name="0"} > 0`,
		`up{job="all"} == 1`,
		`sum(stap_exporter_script_up{job="all"} == 1) == 3`,
		`sum(count{job="all",script="with 100% space.stp"}) > 0`,
		`ticks{job="all",script="autostart.stp",number="100",text="ticks"} > 0`,
	} {
		harness.Eventually(t, expr, func() bool { return len(p.query(expr)) == 1 })
	}
	if up := p.query(`max_over_time(up{job="stranger"}[1h])`); len(up) != 1 || up[0].points[0].value != 0 {
		t.Errorf("up with a wrong password: %v", up)
	}
	var targets struct {
		ActiveTargets []struct {
			Labels         map[string]string
			LastError      string
			ScrapeInterval string
		}
		DroppedTargets []any
	}
	p.api("/api/v1/targets", &targets)
	for _, target := range targets.ActiveTargets {
		interval, failure := "1s", ""
		switch {
		case target.Labels["script"] == "slow.stp":
			interval = "3000ms"
		case target.Labels["job"] == "stranger":
			failure = "server returned HTTP status 401 Unauthorized"
		}
		if target.ScrapeInterval != interval {
			t.Errorf("%v: interval %s, want %s", target.Labels, target.ScrapeInterval, interval)
		}
		if target.LastError != failure && failure != "" {
			t.Errorf("%v: %q, want %q", target.Labels, target.LastError, failure)
		}
	}
	if len(targets.ActiveTargets) != 5 || len(targets.DroppedTargets) != 0 {
		t.Errorf("targets: %+v", targets)
	}
}

// promtool accepts the exporter's own metrics, the pages of all shipped
// scripts, and the page of all scripts.
func TestPromtoolAccepts(t *testing.T) {
	harness.NeedStap(t)
	promtool := harness.NeedProgram(t, "promtool")
	e := harness.Start(t, shipped)
	scripts, _ := filepath.Glob(filepath.Join(shipped, "*.stp"))
	if len(scripts) == 0 {
		t.Fatal("no shipped scripts")
	}
	var paths []string
	for _, s := range scripts {
		paths = append(paths, "/"+filepath.Base(s))
	}
	for _, path := range append(paths, "/all", "/metrics") {
		p := e.Get(path, "60")
		if p.Code != 200 || !strings.Contains(p.Body, "\n") {
			t.Errorf("%s: %d %q", path, p.Code, p.Body)
		}
		var out bytes.Buffer
		check := exec.Command(promtool, "check", "metrics")
		check.Stdin, check.Stdout, check.Stderr = strings.NewReader(p.Body), &out, &out
		if err := check.Run(); err != nil || out.Len() > 0 {
			t.Errorf("promtool on %s: %v\n%s", path, err, out.String())
		}
	}
}

// scrapeMany returns the configuration of a Prometheus that scrapes each path
// as several targets, which differ by the label copy, every two seconds. With a
// shorter interval the time limit would be shorter, and the test would fail on
// a busy machine: the exporter uses half of a limit below a second.
func scrapeMany(e *harness.Exporter, copies int, paths ...string) string {
	config := "global: {scrape_interval: 2s, scrape_timeout: 2s}\nscrape_configs:\n"
	for _, path := range paths {
		config += fmt.Sprintf("- job_name: %s\n  metrics_path: %[1]s\n  static_configs:\n", path)
		for c := range copies {
			config += fmt.Sprintf(
				"  - {targets: [%q], labels: {copy: \"%d\"}}\n",
				strings.TrimPrefix(e.URL, "http://"),
				c,
			)
		}
	}
	return config
}

// scraped waits until each copy of a job has been scraped this number of times,
// and returns the series by copy. It checks that every scrape succeeded, and
// that no series has a gap.
func (p *promServer) scraped(e *harness.Exporter, job string, copies, scrapes int) map[string][]promSeries {
	p.t.Helper()
	harness.Eventually(p.t, fmt.Sprintf("%d scrapes of each copy of %s", scrapes, job), func() bool {
		return p.number(fmt.Sprintf(`count(count_over_time(up{job=%q}[1h]) >= %d)`, job, scrapes)) == float64(copies)
	})
	byCopy := map[string][]promSeries{}
	times := map[string][]float64{}
	missed := false
	for _, s := range p.query(fmt.Sprintf(`{job=%q}[1h]`, job)) {
		c := s.labels["copy"]
		if s.name == "up" {
			for _, point := range s.points {
				times[c] = append(times[c], point.time)
				if point.value != 1 {
					missed = true
					p.t.Errorf("%s, copy %s: up is %v at %v", job, c, point.value, point.time)
				}
			}
		}
		for _, own := range []string{"job", "instance", "copy"} {
			delete(s.labels, own)
		}
		if s.name != "up" && !strings.HasPrefix(s.name, "scrape_") {
			byCopy[c] = append(byCopy[c], s)
		}
	}
	if missed {
		p.t.Log(
			regexp.MustCompile(`(?m)^stap_exporter_script_(requests_total|read_duration_seconds|reads_).*\n`).
				FindAllString(e.Get("/metrics", "").Body, -1),
		)
		return byCopy
	}
	for c, all := range byCopy {
		for _, s := range all {
			var at []float64
			for _, point := range s.points {
				at = append(at, point.time)
			}
			if before := max(0, len(times[c])-len(at)); !slices.Equal(at, times[c][before:]) {
				p.t.Errorf(
					"%s, copy %s: %s has a gap: %v, scraped at %v",
					job,
					c,
					harness.SeriesKey(s.name, s.labels),
					at,
					times[c],
				)
			}
		}
	}
	return byCopy
}

// A script that truncates, doubles, empties and corrupts its texts costs
// Prometheus neither a scrape nor a valid sample, and adds no invalid one.
func TestPrometheusOfAFaultyScript(t *testing.T) {
	harness.NeedProgram(t, "prometheus")
	const copies, scrapes = 40, 8
	e := harness.Start(
		t,
		harness.ScriptDir(t, map[string]string{"faulty.stp": harness.StandInScript(harness.HarmlessFaults)}),
	)
	if p := e.Get("/faulty.stp", "60"); p.Code != 200 {
		t.Fatalf("%d %s", p.Code, p.Body)
	}
	p := startPrometheus(t, scrapeMany(e, copies, "/faulty.stp"))
	total := 0
	for c, all := range p.scraped(e, "/faulty.stp", copies, scrapes) {
		n := len(all[0].points)
		total += n
		last := 0
		for i := range n {
			samples := map[string]float64{}
			for _, s := range all {
				if len(s.points) == n { // of each scrape, the first one included
					samples[harness.SeriesKey(s.name, s.labels)] = s.points[i].value
				}
			}
			number, wrong := harness.TextNumber(samples)
			if wrong != "" || len(samples) != len(all) {
				t.Errorf("copy %s, scrape %d: %d series of %d, %s", c, i, len(samples), len(all), wrong)
			}
			if number <= last {
				t.Errorf("copy %s, scrape %d: text %d came after text %d", c, i, number, last)
			}
			last = number
		}
	}
	if total < copies*scrapes {
		t.Errorf("only %d scrapes", total)
	}
	t.Logf("%d scrapes", total)
	own := e.Get("/metrics", "").Body
	for _, reason := range []string{
		"truncated-last-line", "bad-name", "bad-label", "bad-escape", "not-utf8", "bad-value", "bad-timestamp",
		"duplicate-series", "bad-metadata",
	} {
		name := fmt.Sprintf(`stap_exporter_script_lines_dropped_total{reason=%q,script="faulty.stp"}`, reason)
		if v, _ := series(own, name); v == 0 {
			t.Errorf("no line was dropped for the reason %s", reason)
		}
	}
}

// In three Prometheus servers at once each counter of real scripts grows and
// never falls.
func TestThreePrometheusServers(t *testing.T) {
	harness.NeedStap(t)
	harness.NeedProgram(t, "prometheus")
	t.Parallel()
	const copies, scrapes = 8, 10
	byProcess, err := os.ReadFile(filepath.Join(shipped, "reads-by-process-autostart.stp"))
	if err != nil {
		t.Fatal(err)
	}
	e := harness.Start(
		t,
		harness.ScriptDir(t, map[string]string{"counting.stp": harness.Counting, "processes.stp": string(byProcess)}),
	)
	for _, path := range []string{"/counting.stp", "/processes.stp"} {
		if p := e.Get(path, "60"); p.Code != 200 {
			t.Fatalf("%s: %d %s", path, p.Code, p.Body)
		}
	}
	var servers []*promServer
	for range 3 {
		servers = append(servers, startPrometheus(t, scrapeMany(e, copies, "/counting.stp", "/processes.stp")))
	}
	for i, p := range servers {
		total, series := 0, 0
		for _, job := range []string{"/counting.stp", "/processes.stp"} {
			all := p.scraped(e, job, copies, scrapes)
			if len(all) != copies {
				t.Errorf("server %d, %s: %d copies have series", i, job, len(all))
			}
			for c, each := range all {
				for _, s := range each {
					for j := 1; j < len(s.points); j++ {
						if from, to := s.points[j-1].value, s.points[j].value; to < from ||
							to == from && s.name == "seq" {
							t.Errorf(
								"server %d, %s, copy %s: %s went from %v to %v",
								i,
								job,
								c,
								harness.SeriesKey(s.name, s.labels),
								from,
								to,
							)
						}
					}
					total += len(s.points)
				}
				series += len(each)
			}
			if resets := p.number(
				fmt.Sprintf(`sum(resets({job=%q,__name__=~"seq|count_reads_total"}[1h]))`, job),
			); resets != 0 {
				t.Errorf("server %d, %s: %v resets", i, job, resets)
			}
		}
		t.Logf("server %d: %d series, %d samples", i, series, total)
	}
}
