//go:build vm

package guest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"stap-exporter/test/harness"
)

// seqOf returns the number of the probe run of a text of counting.stp, or of a
// script that has seq only.
func seqOf(t *testing.T, body string) int64 {
	t.Helper()
	m := regexp.MustCompile(`(?m)^seq\{name="0"\} (\d+)$`).FindStringSubmatch(body)
	if m == nil {
		t.Fatalf("no seq in %q", body)
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func onDemandOneStage(t *testing.T) {
	name := "counting on demand.stp"
	e := start(t, setup{scripts: map[string]string{name: wrapper("counting", "")}, flags: []string{"-k", "2"}})
	path := "/" + name
	if p := e.Get("/none.stp", ""); p.Code != 404 || !strings.HasPrefix(p.Body, "script not found") {
		t.Errorf("unknown script: %d %q", p.Code, p.Body)
	}
	begun := time.Now()
	p := e.Get(path, "")
	if n, err := strconv.Atoi(
		p.Header.Get("Retry-After"),
	); p.Code != 503 || !strings.HasPrefix(p.Body, "Refresh page to access metrics.") || err != nil ||
		n < 1 {
		t.Errorf("first request: %d, Retry-After %q, %q", p.Code, p.Header.Get("Retry-After"), p.Body)
	}
	eventually(t, "it answers 200", func() bool {
		p = e.Get(path, "")
		return p.Code == 200
	})
	note(t, "200 after %s", seconds(time.Since(begun)))
	if !harness.CountingText.MatchString(p.Body) {
		t.Errorf("not the script's text: %q", p.Body)
	}
	if !loaded(e.module(name)) {
		t.Error("its module is not loaded")
	}
	quiet := time.Now()
	eventually(t, "keepalive stops it", func() bool { return strings.Contains(e.Get("/", "").Body, "idle") })
	note(t, "keepalive 2 s: stopped after %s", seconds(time.Since(quiet)))
	e.checkResidue()
	p = e.Get(path, startTimeout)
	if p.Code != 200 || !harness.CountingText.MatchString(p.Body) || seqOf(t, p.Body) != 1 {
		t.Errorf("in one request: %d %q", p.Code, p.Body)
	}
	note(t, "in one request %s", seconds(p.Took))
	stop := time.Now()
	e.stopClean()
	note(t, "TERM to end %s", seconds(time.Since(stop)))
}

// The shipped scripts, as modules that were compiled on the host with the whole
// tapset, count the reads of a process that reads 5,000 times.
func shippedScripts(t *testing.T) {
	e := start(t, setup{scripts: map[string]string{
		"example.stp": "#!/usr/bin/load example\n", "reads-by-process-autostart.stp": "#!/usr/bin/load reads\n",
	}})
	note(t, "loaded and read in %s", seconds(e.metrics("/example.stp").Took))
	e.metrics("/reads-by-process-autostart.stp")
	dd := exec.Command("dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=5000")
	if err := dd.Run(); err != nil {
		t.Fatal(err)
	}
	body, sum := e.metrics("/example.stp").Body, 0
	ofDD := regexp.MustCompile(fmt.Sprintf(`(?m)^count\{tid="%d",cpu="\d+"\} (\d+)$`, dd.Process.Pid))
	for _, m := range ofDD.FindAllStringSubmatch(body, -1) {
		n, _ := strconv.Atoi(m[1])
		sum += n
	}
	note(t, "dd read 5000 times, counted %d", sum)
	if sum < 4900 || sum > 5100 {
		// up to 100 are skipped while the text is written, see example.stp
		t.Errorf("dd read 5000 times, counted %d", sum)
	}
	if !strings.Contains(
		e.metrics("/reads-by-process-autostart.stp").Body,
		`count_reads_total{execname="dd",uid="0"} `,
	) {
		t.Error("dd is not counted by name")
	}
	e.stopClean()
}

// fillCache is held by the scenario that fills stap's cache.
var fillCache sync.Mutex

// realMake returns the environment for stap to compile with the real make, and
// with this directory of SystemTap's runtime.
//
// Before the first compile for a kernel stap runs a hundred small compiles to
// probe the headers, for minutes under emulation, and keeps their results in
// ~/.systemtap/cache. The compile on the host had the same results: they are
// copied there, under the name that stap logs when it compiles with the
// handover.
func realMake(t *testing.T, runtime string) []string {
	t.Helper()
	fillCache.Lock()
	defer fillCache.Unlock()
	runtimeDir := "SYSTEMTAP_RUNTIME=/usr/share/systemtap/" + runtime
	stap := exec.Command("stap", "-p4", "-m", "warm", "/in/scripts/counting.stp")
	stap.Dir = tempDir(t)
	stap.Env = append(os.Environ(), runtimeDir)
	if out, err := stap.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	found, err := os.ReadFile("/in/stapconf.h")
	if err != nil {
		t.Fatal(err)
	}
	logs, _ := filepath.Glob("/root/.systemtap/cache/*/stapconf_*_hash.log")
	for _, log := range logs {
		if err := os.WriteFile(strings.TrimSuffix(log, "_hash.log")+".h", found, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return []string{"STAP_REAL_MAKE=1", runtimeDir}
}

// With everything installed, auto probes a module in the background and changes
// to kernel modules. The result is kept. The probe is compiled by the real
// make, and with --stap.runtime-dir, since the packaged runtime does not
// compile here.
func autoWithGCC(t *testing.T) {
	cache := filepath.Join(tempDir(t), "cache")
	dir := scriptDir(t, map[string]string{"counting.stp": text(t, "counting")})
	realMake(t, "runtime-patched")
	flags := []string{"-k", "1", "--stap.runtime-dir=/usr/share/systemtap/runtime-patched"}
	env := []string{"STAP_REAL_MAKE=1", "SYSTEMTAP_RUNTIME=/usr/share/systemtap/runtime"}
	begun := time.Now()
	e := start(t, setup{dir: dir, cache: cache, runtime: "auto", flags: flags, env: env})
	p := e.metrics("/counting.stp")
	chosen := func() bool { return strings.Contains(e.Log(), `"runtime chosen"`) }
	if loaded(e.module("counting.stp")) && !chosen() {
		t.Error("a module is loaded before the probe has ended")
	}
	if !harness.CountingText.MatchString(p.Body) {
		t.Errorf("before: %q", p.Body)
	}
	eventuallyIn(t, fullCompile, "the probe ends", chosen)
	note(t, "a full compile and load took %s", seconds(time.Since(begun)))
	if !strings.Contains(e.Log(), `a probe module compiled and loaded`) {
		t.Fatalf("other choice:\n%s", e.Log())
	}
	e.stopClean()

	e = start(t, setup{dir: dir, cache: cache, runtime: "auto", flags: flags})
	if e.metrics(
		"/counting.stp",
	); !loaded(e.module("counting.stp")) ||
		strings.Contains(e.Log(), "capability probe of kernel modules started") {
		t.Error("the result was not kept")
	}
	e.stopClean()
}

// The packaged SystemTap 4.8 does not compile on the guest's kernel. The reply
// has the reason and a remedy.
func packagedRuntime(t *testing.T) {
	e := start(t, setup{
		scripts: map[string]string{"counting.stp": text(t, "counting")},
		env:     realMake(t, "runtime"),
	})
	begun := time.Now()
	p := e.Get("/counting.stp", compileTimeout)
	note(t, "fails after %s", seconds(time.Since(begun)))
	for _, words := range []string{"does not compile on this kernel", "newer SystemTap"} {
		if p.Code != 503 || !strings.Contains(p.Body, words) {
			t.Errorf("does not contain %q: %d %s", words, p.Code, p.Body)
		}
	}
	e.stopClean()
}

// pathWithout returns a PATH without some programs.
func pathWithout(t *testing.T, missing ...string) string {
	t.Helper()
	dir := tempDir(t)
	for _, bin := range []string{"/usr/sbin", "/usr/bin"} {
		files, err := os.ReadDir(bin)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			// of a name in both directories the first one stays
			_ = os.Symlink(filepath.Join(bin, f.Name()), filepath.Join(dir, f.Name()))
		}
	}
	for _, name := range missing {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return "PATH=" + dir
}

func noGCC(t *testing.T) {
	e := start(t, setup{
		scripts: map[string]string{"counting.stp": text(t, "counting")},
		runtime: "auto", env: []string{pathWithout(t, "gcc")},
	})
	if !strings.Contains(e.Log(), `kernel modules need gcc`) {
		t.Errorf("the log does not have the reason:\n%s", e.Log())
	}
	if p := e.metrics("/counting.stp"); !harness.CountingText.MatchString(p.Body) || loaded(e.module("counting.stp")) {
		t.Errorf("not under bpf: %q", p.Body)
	}
	note(t, "auto: bpf, since kernel modules need gcc")
	e.stopClean()
}

// hideHeaders returns what, before a command line, hides the kernel's build
// tree from it.
func hideHeaders(t *testing.T) []string {
	t.Helper()
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	return []string{
		"unshare",
		"--mount",
		"sh",
		"-c",
		`mount -t tmpfs none "$0" && exec "$@"`,
		"/lib/modules/" + strings.TrimSpace(string(release)),
	}
}

func noHeaders(t *testing.T) {
	hide := hideHeaders(t)
	scripts := map[string]string{"counting.stp": text(t, "counting")}

	e := start(t, setup{scripts: scripts, before: hide})
	p := e.waitForReply("/counting.stp", 503, "the headers of the running kernel are missing")
	t.Logf("runtime kernel: %s", p.Body)
	e.stopClean()

	e = start(t, setup{scripts: scripts, before: hide, runtime: "auto"})
	if !strings.Contains(e.Log(), "kernel modules need the headers of kernel") {
		t.Errorf("the log does not have the reason:\n%s", e.Log())
	}
	if p := e.metrics("/counting.stp"); !harness.CountingText.MatchString(p.Body) {
		t.Errorf("not under bpf: %q", p.Body)
	}
	note(t, "kernel: 503 names them; auto: bpf")
	e.stopClean()
}

var dropSysModule = []string{"setpriv", "--bounding-set=-sys_module", "--inh-caps=-sys_module"}

func noSysModule(t *testing.T) {
	scripts := map[string]string{"counting.stp": text(t, "counting")}
	e := start(t, setup{scripts: scripts, before: dropSysModule})
	p := e.waitForReply("/counting.stp", 503, "CAP_SYS_MODULE")
	t.Logf("runtime kernel: %s", p.Body)
	e.stopClean()

	e = start(t, setup{scripts: scripts, before: dropSysModule, runtime: "auto"})
	if !strings.Contains(e.Log(), "kernel modules need the capability CAP_SYS_MODULE") {
		t.Errorf("the log does not have the reason:\n%s", e.Log())
	}
	if p := e.metrics("/counting.stp"); !harness.CountingText.MatchString(p.Body) {
		t.Errorf("not under bpf: %q", p.Body)
	}
	note(t, "kernel: 503 names it; auto: bpf")
	e.stopClean()
}
