package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
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
)

// asExporter makes the test binary be stap-exporter itself: the tests below
// start it as a process, race detector and all.
const asExporter = "STAP_EXPORTER_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asExporter) != "" || len(os.Args) > 1 && (os.Args[1] == launchArg || os.Args[1] == guardArg) {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// exporter is a running stap-exporter.
type exporter struct {
	t      testing.TB
	cmd    *exec.Cmd
	url    string
	exited chan struct{} // closed once cmd is reaped
	mu     sync.Mutex
	log    bytes.Buffer
}

// startExporter starts it on a free port of loopback and returns when it
// listens. The cache folder is a new one, unless flags begin with one.
func startExporter(t testing.TB, scripts string, flags ...string) *exporter {
	t.Helper()
	return startProgram(t, os.Args[0], scripts, append(flags, "--log.level=debug")...)
}

// startProgram does so with a stap-exporter of one's choice.
func startProgram(t testing.TB, program, scripts string, flags ...string) *exporter {
	t.Helper()
	e := &exporter{t: t, exited: make(chan struct{})}
	if len(flags) == 0 || !strings.HasPrefix(flags[0], "--cache.dir=") {
		flags = append([]string{"--cache.dir=" + t.TempDir()}, flags...)
	}
	flags = append([]string{"-s", scripts, "--web.listen-address=127.0.0.1:0", "--log.format=json"}, flags...)
	e.cmd = exec.Command(program, flags...)
	e.cmd.Env = append(os.Environ(), asExporter+"=1")
	e.cmd.Stdout = os.Stdout
	stderr, err := e.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listening := make(chan string, 1)
	go func() {
		defer close(e.exited)
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
		_ = e.cmd.Wait() // its exit code is looked at in stop
	}()
	t.Cleanup(func() {
		e.stop(syscall.SIGTERM)
		if t.Failed() {
			t.Logf("log of the exporter:\n%s", e.logged())
		}
	})
	select {
	case address := <-listening:
		e.url = "http://" + address
	case <-e.exited:
		t.Fatalf("the exporter ended at once:\n%s", e.logged())
	case <-time.After(30 * time.Second):
		t.Fatal("the exporter does not listen")
	}
	return e
}

func (e *exporter) logged() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.log.String()
}

// stop sends the signal and waits for the end; it returns the exit code.
func (e *exporter) stop(s syscall.Signal) int {
	_ = e.cmd.Process.Signal(s) // it may have ended already
	select {
	case <-e.exited:
	case <-time.After(60 * time.Second):
		e.t.Error("the exporter does not end")
		_ = e.cmd.Process.Kill()
		<-e.exited
	}
	if strings.Contains(e.logged(), "DATA RACE") {
		e.t.Error("data race in the exporter")
	}
	return e.cmd.ProcessState.ExitCode()
}

type page struct {
	code   int
	header http.Header
	body   string
}

// get asks for path; timeout is the X-Prometheus-Scrape-Timeout-Seconds to
// send, if any.
func (e *exporter) get(path, timeout string) page {
	e.t.Helper()
	r, err := http.NewRequest(http.MethodGet, e.url+path, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	if timeout != "" {
		r.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", timeout)
	}
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		e.t.Fatal(err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	return page{reply.StatusCode, reply.Header, string(body)}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// needStap skips where SystemTap is not installed; "make test" installs it.
func needStap(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("stap"); err != nil {
		t.Skip("SystemTap is not installed: run make test, or apt install systemtap")
	}
}

// descendants returns the command lines of all processes below pid, pid
// excluded.
func descendants(pid int) (lines []string) {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue
		}
		// The command's name is in parentheses and may hold anything.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		parent, _ := strconv.Atoi(fields[1])
		id, _ := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		children[parent] = append(children[parent], id)
	}
	var walk func(int)
	walk = func(p int) {
		for _, c := range children[p] {
			line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", c))
			lines = append(lines, strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " ")))
			walk(c)
		}
	}
	walk(pid)
	return lines
}

// mentioning returns the command lines of all processes that hold the word.
func mentioning(word string) (lines []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		if text, err := os.ReadFile(
			f,
		); err == nil && bytes.Contains(text, []byte(word)) &&
			filepath.Base(filepath.Dir(f)) != strconv.Itoa(os.Getpid()) {
			lines = append(lines, strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	return lines
}

// nothingLeft checks that neither a process, a FIFO, a module nor a file of the
// exporter's scripts is left.
func (e *exporter) nothingLeft() {
	e.t.Helper()
	modules := regexp.MustCompile(`stap_exporter_[0-9a-f]{8}_\w+`).FindAllString(e.logged(), -1)
	instance := ""
	for _, m := range modules {
		instance = m[:len("stap_exporter_01234567")]
	}
	if instance == "" {
		return
	}
	if lines := mentioning(instance); len(lines) > 0 {
		e.t.Errorf("processes left: %q", lines)
	}
	for _, pattern := range []string{"/var/tmp/systemtap-root/" + instance + "*", "/proc/systemtap/" + instance + "*", "/tmp/stap??????/" + instance + "*"} {
		if left, _ := filepath.Glob(pattern); len(left) > 0 {
			e.t.Errorf("left: %q", left)
		}
	}
	for _, flag := range e.cmd.Args {
		if dir, ok := strings.CutPrefix(flag, "--cache.dir="); ok {
			err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
				if strings.HasSuffix(path, ".bo") || strings.Contains(path, "stap_exporter_") {
					e.t.Errorf("left: %s", path)
				}
				return err
			})
			if err != nil {
				e.t.Error(err)
			}
		}
	}
}

func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
