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
)

var countingText = regexp.MustCompile(
	`^seq\{name="0"\} (\d+)\n(ticks\{number="\d+",text="[a-z ]+"\} \d+\n){40,41}last\{name="0"\} 1\n$`,
)

// seqOf returns the number of the probe run that a text of counting.stp, or of
// a script that has just "seq", comes from.
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
	if p := e.get("/none.stp", ""); p.code != 404 || !strings.HasPrefix(p.body, "script not found") {
		t.Errorf("unknown script: %d %q", p.code, p.body)
	}
	begun := time.Now()
	p := e.get(path, "")
	if n, err := strconv.Atoi(
		p.header.Get("Retry-After"),
	); p.code != 503 || !strings.HasPrefix(p.body, "Refresh page to access metrics.") || err != nil ||
		n < 1 {
		t.Errorf("first request: %d, Retry-After %q, %q", p.code, p.header.Get("Retry-After"), p.body)
	}
	eventually(t, "it answers 200", func() bool {
		p = e.get(path, "")
		return p.code == 200
	})
	note(t, "200 after %s", seconds(time.Since(begun)))
	if !countingText.MatchString(p.body) {
		t.Errorf("not the script's text: %q", p.body)
	}
	if !loaded(e.module(name)) {
		t.Error("its module is not loaded")
	}
	quiet := time.Now()
	eventually(t, "keepalive stops it", func() bool { return strings.Contains(e.get("/", "").body, "idle") })
	note(t, "keepalive 2 s: gone after %s", seconds(time.Since(quiet)))
	e.nothingLeft()
	p = e.get(path, patience)
	if p.code != 200 || !countingText.MatchString(p.body) || seqOf(t, p.body) != 1 {
		t.Errorf("in one request: %d %q", p.code, p.body)
	}
	note(t, "in one request %s", seconds(p.took))
	stop := time.Now()
	e.endsClean()
	note(t, "TERM to end %s", seconds(time.Since(stop)))
}

// The scripts that ship, as modules compiled on the host from the whole tapset,
// on the whole machine's system calls: a process that reads 5,000 times is seen
// with at least that many.
func shippedScripts(t *testing.T) {
	e := start(t, setup{scripts: map[string]string{
		"example.stp": "#!/usr/bin/load example\n", "reads-by-process-autostart.stp": "#!/usr/bin/load reads\n",
	}})
	note(t, "loaded and read in %s", seconds(e.metrics("/example.stp").took))
	e.metrics("/reads-by-process-autostart.stp")
	dd := exec.Command("dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=5000")
	if err := dd.Run(); err != nil {
		t.Fatal(err)
	}
	body, sum := e.metrics("/example.stp").body, 0
	for _, m := range regexp.MustCompile(fmt.Sprintf(`(?m)^count\{tid="%d",cpu="\d+"\} (\d+)$`, dd.Process.Pid)).FindAllStringSubmatch(body, -1) {
		n, _ := strconv.Atoi(m[1])
		sum += n
	}
	note(t, "dd read 5000 times, counted %d", sum)
	if sum < 4900 || sum > 5100 {
		// up to 100 are skipped where the text is being made, see example.stp
		t.Errorf("dd read 5000 times, counted %d", sum)
	}
	if !strings.Contains(
		e.metrics("/reads-by-process-autostart.stp").body,
		`count_reads_total{execname="dd",uid="0"} `,
	) {
		t.Error("dd is not counted by name")
	}
	e.endsClean()
}

// warming keeps two scenarios from warming the same cache.
var warming sync.Mutex

// realMake is the environment for stap to compile with the real make, and with
// this folder of SystemTap's runtime.
//
// Before its first compile for a kernel stap makes a hundred little trials of
// the headers, for minutes under emulation, and keeps what they found
// (~/.systemtap/cache). The host's compile has found the same: it is put where
// stap looks, under the name that stap gives it in a log when it is asked to
// compile with the handover.
func realMake(t *testing.T, runtime string) []string {
	t.Helper()
	warming.Lock()
	defer warming.Unlock()
	folder := "SYSTEMTAP_RUNTIME=/usr/share/systemtap/" + runtime
	stap := exec.Command("stap", "-p4", "-m", "warm", "/in/scripts/counting.stp")
	stap.Dir = tempDir(t)
	stap.Env = append(os.Environ(), folder)
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
	return []string{"STAP_REAL_MAKE=1", folder}
}

// With everything there, auto tries a module in the background and goes over to
// kernel modules; the verdict is kept. The trial is compiled with the real
// make, and with the mended runtime by --stap.runtime-dir: the packaged one does
// not compile here.
func autoWithGCC(t *testing.T) {
	cache := filepath.Join(tempDir(t), "cache")
	dir := folder(t, map[string]string{"counting.stp": text(t, "counting")})
	realMake(t, "runtime-patched")
	flags := []string{"-k", "1", "--stap.runtime-dir=/usr/share/systemtap/runtime-patched"}
	env := []string{"STAP_REAL_MAKE=1", "SYSTEMTAP_RUNTIME=/usr/share/systemtap/runtime"}
	begun := time.Now()
	e := start(t, setup{dir: dir, cache: cache, runtime: "auto", flags: flags, env: env})
	p := e.metrics("/counting.stp")
	verdict := func() bool { return strings.Contains(e.logged(), `"runtime chosen"`) }
	if loaded(e.module("counting.stp")) && !verdict() {
		t.Error("a module is loaded before the trial has ended")
	}
	if !countingText.MatchString(p.body) {
		t.Errorf("until then: %q", p.body)
	}
	eventuallyIn(t, fullCompile, "the trial ends", verdict)
	note(t, "a full compile and load took %s", seconds(time.Since(begun)))
	if !strings.Contains(e.logged(), `a trial module compiled and loaded`) {
		t.Fatalf("it chose otherwise:\n%s", e.logged())
	}
	e.endsClean()

	e = start(t, setup{dir: dir, cache: cache, runtime: "auto", flags: flags})
	if e.metrics(
		"/counting.stp",
	); !loaded(e.module("counting.stp")) ||
		strings.Contains(e.logged(), "trying kernel modules") {
		t.Error("the verdict was not kept")
	}
	e.endsClean()
}

// The packaged 4.8 does not compile on the guest's kernel: said in words that
// help.
func packagedRuntime(t *testing.T) {
	e := start(t, setup{
		scripts: map[string]string{"counting.stp": text(t, "counting")},
		env:     realMake(t, "runtime"),
	})
	begun := time.Now()
	p := e.get("/counting.stp", morePatience)
	note(t, "fails after %s", seconds(time.Since(begun)))
	for _, words := range []string{"does not compile on this kernel", "newer SystemTap"} {
		if p.code != 503 || !strings.Contains(p.body, words) {
			t.Errorf("does not say %q: %d %s", words, p.code, p.body)
		}
	}
	e.endsClean()
}

// pathWithout makes a PATH without the programs named.
func pathWithout(t *testing.T, missing ...string) string {
	t.Helper()
	dir := tempDir(t)
	for _, bin := range []string{"/usr/sbin", "/usr/bin"} {
		files, err := os.ReadDir(bin)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			// a name that is in both stays the first
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
	if !strings.Contains(e.logged(), `kernel modules need gcc`) {
		t.Errorf("the log does not say why:\n%s", e.logged())
	}
	if p := e.metrics("/counting.stp"); !countingText.MatchString(p.body) || loaded(e.module("counting.stp")) {
		t.Errorf("not under bpf: %q", p.body)
	}
	note(t, "auto: bpf, since kernel modules need gcc")
	e.endsClean()
}

// hideHeaders is what to put before a command line so that it sees no build
// tree of the kernel.
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
	p := e.says("/counting.stp", 503, "install the headers of the running kernel")
	t.Logf("runtime kernel: %s", p.body)
	e.endsClean()

	e = start(t, setup{scripts: scripts, before: hide, runtime: "auto"})
	if !strings.Contains(e.logged(), "kernel modules need the headers of kernel") {
		t.Errorf("the log does not say why:\n%s", e.logged())
	}
	if p := e.metrics("/counting.stp"); !countingText.MatchString(p.body) {
		t.Errorf("not under bpf: %q", p.body)
	}
	note(t, "kernel: 503 names them; auto: bpf")
	e.endsClean()
}

var dropSysModule = []string{"setpriv", "--bounding-set=-sys_module", "--inh-caps=-sys_module"}

func noSysModule(t *testing.T) {
	scripts := map[string]string{"counting.stp": text(t, "counting")}
	e := start(t, setup{scripts: scripts, before: dropSysModule})
	p := e.says("/counting.stp", 503, "CAP_SYS_MODULE")
	t.Logf("runtime kernel: %s", p.body)
	e.endsClean()

	e = start(t, setup{scripts: scripts, before: dropSysModule, runtime: "auto"})
	if !strings.Contains(e.logged(), "kernel modules need the capability CAP_SYS_MODULE") {
		t.Errorf("the log does not say why:\n%s", e.logged())
	}
	if p := e.metrics("/counting.stp"); !countingText.MatchString(p.body) {
		t.Errorf("not under bpf: %q", p.body)
	}
	note(t, "kernel: 503 names it; auto: bpf")
	e.endsClean()
}
