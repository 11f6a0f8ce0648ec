package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"stap-exporter/test/harness"
)

// promServer is a running Prometheus.
type promServer struct {
	t   *testing.T
	url string
}

// startPrometheus starts a real Prometheus on a free port of the loopback
// interface and returns when it is ready. It ends with the test.
func startPrometheus(t *testing.T, config string) *promServer {
	t.Helper()
	program := harness.NeedProgram(t, "prometheus")
	dir := t.TempDir()
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(
		program,
		"--config.file="+file,
		"--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address=127.0.0.1:0",
	)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listening, exited := make(chan string, 1), make(chan struct{})
	var mu sync.Mutex
	var log strings.Builder
	go func() {
		defer close(exited)
		address := regexp.MustCompile(`msg="Listening on" address=(\S+)`)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			mu.Lock()
			fmt.Fprintln(&log, lines.Text())
			mu.Unlock()
			if m := address.FindStringSubmatch(lines.Text()); m != nil {
				listening <- m[1]
			}
		}
		_ = cmd.Wait() // the result does not matter
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(time.Minute):
			t.Error("prometheus does not end")
			_ = cmd.Process.Kill()
			<-exited
		}
		if t.Failed() {
			t.Logf("log of prometheus:\n%s", log.String())
		}
	})
	p := &promServer{t: t}
	select {
	case address := <-listening:
		p.url = "http://" + address
	case <-exited:
		t.Fatal("prometheus ended at once")
	case <-time.After(time.Minute):
		t.Fatal("prometheus does not listen")
	}
	harness.Eventually(t, "prometheus is ready", func() bool {
		reply, err := http.Get(p.url + "/-/ready")
		if err != nil {
			return false
		}
		reply.Body.Close()
		return reply.StatusCode == http.StatusOK
	})
	return p
}

// api requests a path of the HTTP API and decodes the data of the reply into v.
func (p *promServer) api(path string, v any) {
	p.t.Helper()
	reply, err := http.Get(p.url + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer reply.Body.Close()
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(reply.Body).Decode(&answer); err != nil || answer.Status != "success" {
		p.t.Fatalf("prometheus %s: %d %s %v", path, reply.StatusCode, answer.Error, err)
	}
	if err := json.Unmarshal(answer.Data, v); err != nil {
		p.t.Fatal(err)
	}
}

// promSeries is a series of a reply, its samples by time.
type promSeries struct {
	labels map[string]string // without the name
	name   string
	points []promPoint
}

type promPoint struct{ time, value float64 }

func (p *promPoint) UnmarshalJSON(text []byte) error {
	var value string
	if err := json.Unmarshal(text, &[]any{&p.time, &value}); err != nil {
		return err
	}
	var err error
	p.value, err = strconv.ParseFloat(value, 64)
	return err
}

// query returns an instant vector, with one point per series, or a range
// vector.
func (p *promServer) query(expr string) (all []promSeries) {
	p.t.Helper()
	var data struct {
		Result []struct {
			Metric map[string]string
			Value  *promPoint
			Values []promPoint
		}
	}
	p.api("/api/v1/query?query="+url.QueryEscape(expr), &data)
	for _, r := range data.Result {
		s := promSeries{labels: r.Metric, name: r.Metric["__name__"], points: r.Values}
		if r.Value != nil {
			s.points = []promPoint{*r.Value}
		}
		delete(s.labels, "__name__")
		all = append(all, s)
	}
	return all
}

// number returns the value of an expression whose result is one series, or 0
// when there is none.
func (p *promServer) number(expr string) float64 {
	p.t.Helper()
	all := p.query(expr)
	if len(all) == 0 {
		return 0
	}
	if len(all) > 1 {
		p.t.Fatalf("%s: %d series", expr, len(all))
	}
	return all[0].points[0].value
}
