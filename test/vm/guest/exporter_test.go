//go:build vm

package guest

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"stap-exporter/internal/instance"
	"stap-exporter/test/harness"
)

const listen = "127.0.0.1:0"

// setup is how an exporter is started.
type setup struct {
	scripts map[string]string // text by name; texts that begin with #! are executable
	runtime string            // of scripts that are not executable; empty: kernel
	flags   []string
	env     []string // added to the environment
	as      string   // user; empty: root
	before  []string // before the command line: strace, setpriv, …
	dir     string   // an existing script directory, instead of scripts
	cache   string   // an existing cache directory, instead of a new one
}

// exporter is a running stap-exporter.
type exporter struct {
	*harness.Exporter
	t        *testing.T
	dir      string
	cache    string
	instance instance.Instance
}

// start starts the exporter's binary and returns when it listens. The exporter
// ends with the scenario.
func start(t *testing.T, s setup) *exporter {
	t.Helper()
	e := &exporter{t: t, dir: s.dir, cache: s.cache}
	if e.dir == "" {
		e.dir = scriptDir(t, s.scripts)
	}
	if e.cache == "" {
		e.cache = filepath.Join(tempDir(t), "cache")
	}
	if s.runtime == "" {
		s.runtime = "kernel"
	}
	as, uid := account{}, 0
	if s.as != "" {
		as = lookup(t, s.as)
		uid = int(as.credential.Uid)
		e.cache = filepath.Join(as.home, "cache-"+filepath.Base(e.dir))
	}
	args := slices.Concat(s.before, []string{
		"/in/stap-exporter",
		"-s",
		e.dir,
		"--web.listen-address=" + listen,
		"--cache.dir=" + e.cache,
		"--log.format=json",
		"--log.level=debug",
		"--script.runtime=" + s.runtime,
		"--script.start-timeout=12m",
	}, s.flags)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), s.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	as.apply(cmd)
	e.instance = instance.New(uid, e.dir, []string{listen})
	e.Exporter = harness.StartCommand(t, cmd)
	e.StopTimeout = 2 * time.Minute
	return e
}

// account is a user as which a program runs; zero: root.
type account struct {
	name       string
	home       string
	credential *syscall.Credential
}

// apply lets cmd run as the user.
func (a account) apply(cmd *exec.Cmd) {
	if a.credential == nil {
		return
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Credential = a.credential
	cmd.Env = append(cmd.Env, "HOME="+a.home, "USER="+a.name)
	cmd.Dir = a.home
}

func lookup(t *testing.T, name string) account {
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
	return account{name, u.HomeDir, credential}
}

// stopClean stops the exporter with a SIGTERM, and checks that it exits with 0
// and leaves no residue.
func (e *exporter) stopClean() {
	e.T.Helper()
	if code := e.Stop(syscall.SIGTERM); code != 0 {
		e.T.Errorf("exit code %d", code)
	}
	e.checkResidue()
}

// checkResidue checks that no module, procfs file, process or file of this
// exporter's scripts is left.
func (e *exporter) checkResidue() {
	e.T.Helper()
	if left := e.residue(); len(left) > 0 {
		e.T.Errorf("left: %q", left)
	}
}

func (e *exporter) prefix() string { return "stap_exporter_" + e.instance.ID }

// residue lists what this exporter's runs left.
func (e *exporter) residue() (left []string) {
	prefix := e.prefix()
	for _, m := range modules(prefix) {
		left = append(left, "module "+m)
	}
	for _, p := range processes() {
		if strings.Contains(p.line, prefix) {
			left = append(left, fmt.Sprintf("process %d: %s", p.pid, p.line))
		}
	}
	for _, pattern := range []string{
		"/proc/systemtap/" + prefix + "*",
		"/sys/kernel/debug/systemtap/" + prefix + "*",
		"/var/tmp/systemtap-*/" + prefix + "*",
		"/tmp/stap??????/" + prefix + "*",
	} {
		files, _ := filepath.Glob(pattern)
		left = append(left, files...)
	}
	files, _ := filepath.Glob(filepath.Join(e.cache, "*", "run", "*"))
	return append(left, files...)
}

// module is the name under which the script is loaded.
func (e *exporter) module(name string) string { return e.instance.Module(name) }

// Scrape timeouts of requests that wait for a start, without and with a full
// compile.
const (
	startTimeout   = "120"
	compileTimeout = "720"
)

// metrics sends requests until the reply is a 200, and returns that.
func (e *exporter) metrics(path string) harness.Page {
	e.T.Helper()
	var p harness.Page
	eventually(e.t, path+" answers 200", func() bool {
		p = e.Get(path, startTimeout)
		return p.Code == 200
	}, func() string { return fmt.Sprintf("last: %d %s", p.Code, p.Body) })
	return p
}

// waitForReply sends requests until the reply has the code and all the words.
func (e *exporter) waitForReply(path string, code int, words ...string) harness.Page {
	e.T.Helper()
	var p harness.Page
	eventually(e.t, fmt.Sprintf("%s answers %d with %q", path, code, words), func() bool {
		p = e.Get(path, "")
		for _, w := range words {
			if !strings.Contains(p.Body, w) {
				return false
			}
		}
		return p.Code == code
	}, func() string { return fmt.Sprintf("last: %d %s", p.Code, p.Body) })
	return p
}
