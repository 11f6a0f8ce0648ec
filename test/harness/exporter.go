package harness

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	startTimeout = time.Minute // until the exporter listens
	stopTimeout  = time.Minute // of Stop
)

// Exporter is a running stap-exporter. Its methods may be called from any
// goroutine, except those that fail the test at once.
type Exporter struct {
	T           testing.TB
	Cmd         *exec.Cmd
	URL         string        // without a slash at the end
	Exited      chan struct{} // closed when the process has been waited for
	StopTimeout time.Duration // of Stop

	mu  sync.Mutex
	log bytes.Buffer
}

// Start starts an exporter on a free port of the loopback interface. It logs at
// level debug. Its cache directory is a new one, unless the flags begin with
// --cache.dir.
func Start(t testing.TB, scripts string, flags ...string) *Exporter {
	t.Helper()
	return StartBinary(t, Binary(t), scripts, append(flags, "--log.level=debug")...)
}

// StartBinary is Start for an executable of the caller's choice, at the default
// level of the log.
func StartBinary(t testing.TB, executable, scripts string, flags ...string) *Exporter {
	t.Helper()
	if len(flags) == 0 || !strings.HasPrefix(flags[0], "--cache.dir=") {
		flags = append([]string{"--cache.dir=" + t.TempDir()}, flags...)
	}
	flags = append([]string{"-s", scripts, "--web.listen-address=127.0.0.1:0", "--log.format=json"}, flags...)
	cmd := exec.Command(executable, flags...)
	cmd.Stdout = os.Stdout
	return StartCommand(t, cmd)
}

// StartCommand starts cmd, which must be an exporter with --log.format=json,
// and returns when it listens. The exporter ends with the test.
func StartCommand(t testing.TB, cmd *exec.Cmd) *Exporter {
	t.Helper()
	e := &Exporter{
		T:           t,
		Cmd:         cmd,
		Exited:      make(chan struct{}),
		StopTimeout: stopTimeout,
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listening := make(chan string, 1)
	go e.readLog(stderr, listening)
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
	case <-time.After(startTimeout):
		t.Fatal("the exporter does not listen")
	}
	return e
}

// readLog keeps the log, sends the address of the first listener, and waits for
// the end of the process.
func (e *Exporter) readLog(stderr io.Reader, listening chan<- string) {
	defer close(e.Exited)
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		e.mu.Lock()
		e.log.Write(append(lines.Bytes(), '\n'))
		e.mu.Unlock()
		var line struct{ Msg, Address string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
			select {
			case listening <- line.Address:
			default: // the address of another listener
			}
		}
	}
	_ = e.Cmd.Wait() // ProcessState has the result
}

// CacheDir returns the value of --cache.dir, empty when the flag is not given.
func (e *Exporter) CacheDir() string {
	for _, arg := range e.Cmd.Args {
		if dir, ok := strings.CutPrefix(arg, "--cache.dir="); ok {
			return dir
		}
	}
	return ""
}

// Log returns the log so far, a JSON object per line.
func (e *Exporter) Log() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.log.String()
}

// Stop sends the signal, waits for the end and returns the exit code. It may be
// called for an exporter that has ended.
func (e *Exporter) Stop(s syscall.Signal) int {
	e.T.Helper()
	_ = e.Cmd.Process.Signal(s) // an error if it has ended
	select {
	case <-e.Exited:
	case <-time.After(e.StopTimeout):
		e.T.Error("the exporter does not end")
		_ = e.Cmd.Process.Kill()
		<-e.Exited
	}
	if strings.Contains(e.Log(), "DATA RACE") {
		e.T.Error("data race in the exporter")
	}
	return e.Cmd.ProcessState.ExitCode()
}

// StopClean stops the exporter with a SIGTERM, and checks that it exits with 0
// and leaves no residue.
func (e *Exporter) StopClean() {
	e.T.Helper()
	if code := e.Stop(syscall.SIGTERM); code != 0 {
		e.T.Errorf("exit code %d", code)
	}
	e.CheckResidue()
}

// Kill kills the processes, of which the exporter is one, and waits for the
// exporter's end. That comes after the end of its guardian, which has the same
// standard error.
func (e *Exporter) Kill(osPIDs ...int) {
	e.T.Helper()
	for _, osPID := range osPIDs {
		if err := syscall.Kill(osPID, syscall.SIGKILL); err != nil {
			e.T.Fatal(err)
		}
	}
	<-e.Exited
}
