//go:build vm

package guest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"stap-exporter/internal/instance"
)

const listen = "127.0.0.1:0"

// A setup says how an exporter is started.
type setup struct {
	scripts map[string]string // name: text; one that begins "#!" is executable
	runtime string            // of plain scripts; empty: kernel
	flags   []string
	env     []string // added to the environment
	as      string   // user; empty: root
	before  []string // put before the command line: strace, setpriv, …
	dir     string   // scripts folder that is there already, instead of scripts
	cache   string   // cache folder, instead of a fresh one
}

// exporter is a running stap-exporter.
type exporter struct {
	t        *testing.T
	cmd      *exec.Cmd
	url      string
	dir      string
	cache    string
	instance instance.Instance
	exited   chan struct{} // closed once it is reaped
	mu       sync.Mutex
	log      bytes.Buffer
}

// start starts the real binary and returns when it listens. Its end, and that
// nothing is left then, is checked when the scenario ends.
func start(t *testing.T, s setup) *exporter {
	t.Helper()
	e := &exporter{t: t, exited: make(chan struct{}), dir: s.dir, cache: s.cache}
	uid := 0
	if e.dir == "" {
		e.dir = folder(t, s.scripts)
	}
	if e.cache == "" {
		e.cache = filepath.Join(tempDir(t), "cache")
	}
	if s.runtime == "" {
		s.runtime = "kernel"
	}
	var as *account
	if s.as != "" {
		as = lookup(t, s.as)
		uid = int(as.credential.Uid)
		e.cache = filepath.Join(as.home, "cache-"+filepath.Base(e.dir))
	}
	args := append(
		append([]string{}, s.before...),
		"/in/stap-exporter",
		"-s",
		e.dir,
		"--web.listen-address="+listen,
		"--cache.dir="+e.cache,
		"--log.format=json",
		"--log.level=debug",
		"--script.runtime="+s.runtime,
		"--script.start-timeout=12m",
	)
	args = append(args, s.flags...)
	e.cmd = exec.Command(args[0], args[1:]...)
	e.cmd.Env = append(os.Environ(), s.env...)
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if as != nil {
		e.cmd.SysProcAttr.Credential = as.credential
		e.cmd.Env = append(e.cmd.Env, "HOME="+as.home, "USER="+s.as)
		e.cmd.Dir = as.home
	}
	e.instance = instance.New(uid, e.dir, []string{listen})
	stderr, err := e.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listening := make(chan string, 1)
	go e.follow(stderr, listening)
	t.Cleanup(func() {
		e.end(syscall.SIGTERM)
		if t.Failed() {
			t.Logf("the exporter's log:\n%s", e.logged())
		}
	})
	select {
	case address := <-listening:
		e.url = "http://" + address
	case <-e.exited:
		t.Fatalf("the exporter ended at once:\n%s", e.logged())
	case <-time.After(time.Minute):
		t.Fatal("the exporter does not listen")
	}
	return e
}

// account is a user that an exporter runs as.
type account struct {
	home       string
	credential *syscall.Credential
}

func lookup(t *testing.T, name string) *account {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := u.GroupIds()
	if err != nil {
		t.Fatal(err)
	}
	number := func(s string) uint32 {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		return uint32(n)
	}
	credential := &syscall.Credential{Uid: number(u.Uid), Gid: number(u.Gid)}
	for _, id := range ids {
		credential.Groups = append(credential.Groups, number(id))
	}
	return &account{u.HomeDir, credential}
}

// follow keeps the exporter's log and tells the address that it listens on.
func (e *exporter) follow(stderr io.Reader, listening chan<- string) {
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
	_ = e.cmd.Wait() // ProcessState tells how it ended
}

func (e *exporter) logged() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.log.String()
}

// pid returns the exporter's own process id, also behind strace.
func (e *exporter) pid() int {
	for _, p := range processes() {
		if p.comm == "stap-exporter" && strings.Contains(p.line, " "+e.dir+" ") {
			return p.pid
		}
	}
	e.t.Fatal("the exporter is gone")
	return 0
}

// end sends the signal, waits for the end and returns the exit code.
func (e *exporter) end(s syscall.Signal) int {
	e.t.Helper()
	select {
	case <-e.exited:
		return e.cmd.ProcessState.ExitCode()
	default:
	}
	_ = syscall.Kill(e.pid(), s)
	select {
	case <-e.exited:
	case <-time.After(2 * time.Minute):
		e.t.Error("the exporter does not end")
		_ = syscall.Kill(-e.cmd.Process.Pid, syscall.SIGKILL)
		<-e.exited
	}
	return e.cmd.ProcessState.ExitCode()
}

// endsClean ends the exporter by TERM: exit code 0 and nothing left.
func (e *exporter) endsClean() {
	e.t.Helper()
	if code := e.end(syscall.SIGTERM); code != 0 {
		e.t.Errorf("exit code %d", code)
	}
	e.nothingLeft()
}

// nothingLeft checks that there is neither a module, a procfs entry, a process
// nor a file of this exporter's scripts.
func (e *exporter) nothingLeft() {
	e.t.Helper()
	if left := e.leftovers(); len(left) > 0 {
		e.t.Errorf("left: %q", left)
	}
}

func (e *exporter) prefix() string { return "stap_exporter_" + e.instance.ID }

func (e *exporter) leftovers() (left []string) {
	prefix := e.prefix()
	for _, m := range modules(prefix) {
		left = append(left, "module "+m)
	}
	for _, p := range processes() {
		if strings.Contains(p.line, prefix) {
			left = append(left, fmt.Sprintf("process %d: %s", p.pid, p.line))
		}
	}
	for _, pattern := range []string{"/proc/systemtap/" + prefix + "*", "/sys/kernel/debug/systemtap/" + prefix + "*", "/var/tmp/systemtap-*/" + prefix + "*", "/tmp/stap??????/" + prefix + "*"} {
		files, _ := filepath.Glob(pattern)
		left = append(left, files...)
	}
	files, _ := filepath.Glob(filepath.Join(e.cache, "*", "run", "*"))
	return append(left, files...)
}

// module is the name under which the script is loaded.
func (e *exporter) module(name string) string { return e.instance.Module(name) }

type page struct {
	code   int
	header http.Header
	body   string
	took   time.Duration
}

var client = &http.Client{Timeout: fullCompile + time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 32}}

// get asks for path; timeout is the X-Prometheus-Scrape-Timeout-Seconds to
// send, if any.
func (e *exporter) get(path, timeout string) page {
	e.t.Helper()
	p, err := e.ask(path, timeout)
	if err != nil {
		e.t.Fatal(err)
	}
	return p
}

func (e *exporter) ask(path, timeout string) (page, error) {
	r, err := http.NewRequest(http.MethodGet, e.url+strings.ReplaceAll(path, " ", "%20"), nil)
	if err != nil {
		return page{}, err
	}
	if timeout != "" {
		r.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", timeout)
	}
	begun := time.Now()
	reply, err := client.Do(r)
	if err != nil {
		return page{}, err
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	return page{reply.StatusCode, reply.Header, string(body), time.Since(begun)}, err
}

// Scrape timeouts of requests that wait for a start, and for one with a full
// compile.
const (
	patience     = "120"
	morePatience = "720"
)

// metrics asks until there is a 200, and returns that.
func (e *exporter) metrics(path string) page {
	e.t.Helper()
	var p page
	eventually(e.t, path+" answers 200", func() bool {
		p = e.get(path, patience)
		return p.code == 200
	}, func() string { return fmt.Sprintf("last: %d %s", p.code, p.body) })
	return p
}

// says asks until the reply is code and holds all the words.
func (e *exporter) says(path string, code int, words ...string) page {
	e.t.Helper()
	var p page
	eventually(e.t, fmt.Sprintf("%s answers %d with %q", path, code, words), func() bool {
		p = e.get(path, "")
		for _, w := range words {
			if !strings.Contains(p.body, w) {
				return false
			}
		}
		return p.code == code
	}, func() string { return fmt.Sprintf("last: %d %s", p.code, p.body) })
	return p
}
