package e2e

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"stap-exporter/test/harness"
)

// Clients that disconnect while they wait for a start are counted, and their
// requests are dropped. A client that stays gets its reply.
func TestClientsDisconnectFromAStartingScript(t *testing.T) {
	harness.NeedStap(t)
	end := filepath.Join(t.TempDir(), "end")
	e := harness.Start(
		t,
		harness.ScriptDir(
			t,
			map[string]string{"slow.stp": "#!/bin/sh\nuntil [ -e " + end + " ]; do sleep 0.1; done\nexit 1\n"},
		),
		"--cache.dir="+t.TempDir(),
	)
	address := strings.TrimPrefix(e.URL, "http://")
	connect := func() net.Conn {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(4 * time.Minute))
		if _, err := io.WriteString(
			conn,
			"GET /slow.stp HTTP/1.1\r\nHost: x\r\nX-Prometheus-Scrape-Timeout-Seconds: 240\r\n\r\n",
		); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	metric := func(name string) float64 {
		v, _ := series(e.Get("/metrics", "").Body, name)
		return v
	}
	// One after the other, each after the actor has received the one before.
	request := func() net.Conn {
		const last = `stap_exporter_script_last_request_timestamp_seconds{script="slow.stp"}`
		sent := time.Now()
		conn := connect()
		harness.Eventually(t, "the request has arrived", func() bool {
			v, ok := series(e.Get("/metrics", "").Body, last)
			return ok && v >= float64(sent.UnixNano())/1e9
		})
		return conn
	}
	stays := request()
	var gone []net.Conn
	for range 20 {
		gone = append(gone, request())
	}
	for i, conn := range gone {
		if i%2 == 0 {
			_ = conn.(*net.TCPConn).SetLinger(0)
		}
		_ = conn.Close()
	}
	harness.Eventually(t, "the disconnects are counted", func() bool {
		return metric(`stap_exporter_http_client_disconnects_total`) == 20
	})
	// The start fails, and the last client gets the reason.
	if err := os.WriteFile(end, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	reply, err := http.ReadResponse(bufio.NewReader(stays), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(reply.Body); err != nil || reply.StatusCode != 503 {
		t.Errorf("the client that stayed: %d %q, %v", reply.StatusCode, body, err)
	}
	if n := metric(`stap_exporter_script_requests_total{code="503",script="slow.stp"}`); n != 1 {
		t.Errorf("%v requests counted as answered with 503", n)
	}
	if code := e.Stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
