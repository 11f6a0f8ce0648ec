package harness

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Exporter is a running stap-exporter.
type Exporter struct {
	T      testing.TB
	Cmd    *exec.Cmd
	URL    string
	Exited chan struct{} // closed once cmd is reaped
	mu     sync.Mutex
	log    bytes.Buffer
}

// Start starts it on a free port of loopback and returns when it
// listens. The cache folder is a new one, unless flags begin with one.
func Start(t testing.TB, scripts string, flags ...string) *Exporter {
	t.Helper()
	return StartBinary(t, Binary(t), scripts, append(flags, "--log.level=debug")...)
}

// StartBinary does so with a stap-exporter of one's choice.
func StartBinary(t testing.TB, program, scripts string, flags ...string) *Exporter {
	t.Helper()
	e := &Exporter{T: t, Exited: make(chan struct{})}
	if len(flags) == 0 || !strings.HasPrefix(flags[0], "--cache.dir=") {
		flags = append([]string{"--cache.dir=" + t.TempDir()}, flags...)
	}
	flags = append([]string{"-s", scripts, "--web.listen-address=127.0.0.1:0", "--log.format=json"}, flags...)
	e.Cmd = exec.Command(program, flags...)
	e.Cmd.Stdout = os.Stdout
	stderr, err := e.Cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listening := make(chan string, 1)
	go func() {
		defer close(e.Exited)
		lines := bufio.NewScanner(stderr)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			e.mu.Lock()
			e.log.Write(append(lines.Bytes(), '\n'))
			e.mu.Unlock()
			var line struct{ Msg, Address string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
				listening <- line.Address
			}
		}
		_ = e.Cmd.Wait() // its exit code is looked at in stop
	}()
	t.Cleanup(func() {
		e.Stop(syscall.SIGTERM)
		if t.Failed() {
			t.Logf("log of the exporter:\n%s", e.Log())
		}
	})
	select {
	case address := <-listening:
		e.URL = "http://" + address
	case <-e.Exited:
		t.Fatalf("the exporter ended at once:\n%s", e.Log())
	case <-time.After(30 * time.Second):
		t.Fatal("the exporter does not listen")
	}
	return e
}

func (e *Exporter) Log() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.log.String()
}

// Stop sends the signal and waits for the end; it returns the exit code.
func (e *Exporter) Stop(s syscall.Signal) int {
	_ = e.Cmd.Process.Signal(s) // it may have ended already
	select {
	case <-e.Exited:
	case <-time.After(60 * time.Second):
		e.T.Error("the exporter does not end")
		_ = e.Cmd.Process.Kill()
		<-e.Exited
	}
	if strings.Contains(e.Log(), "DATA RACE") {
		e.T.Error("data race in the exporter")
	}
	return e.Cmd.ProcessState.ExitCode()
}

type Page struct {
	Code   int
	Header http.Header
	Body   string
}

// Get asks for path; timeout is the X-Prometheus-Scrape-Timeout-Seconds to
// send, if any.
func (e *Exporter) Get(path, timeout string) Page {
	e.T.Helper()
	r, err := http.NewRequest(http.MethodGet, e.URL+path, nil)
	if err != nil {
		e.T.Fatal(err)
	}
	if timeout != "" {
		r.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", timeout)
	}
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		e.T.Fatal(err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		e.T.Fatal(err)
	}
	return Page{reply.StatusCode, reply.Header, string(body)}
}

// Post sends an empty POST and returns the status code.
func (e *Exporter) Post(path string) int {
	e.T.Helper()
	reply, err := http.Post(e.URL+path, "", nil)
	if err != nil {
		e.T.Fatal(err)
	}
	reply.Body.Close()
	return reply.StatusCode
}

// Kill kills processes and waits until the exporter is reaped.
func (e *Exporter) Kill(osPIDs ...int) {
	e.T.Helper()
	for _, osPID := range osPIDs {
		if err := syscall.Kill(osPID, syscall.SIGKILL); err != nil {
			e.T.Fatal(err)
		}
	}
	<-e.Exited // after its guardian, which has the same standard error
}
