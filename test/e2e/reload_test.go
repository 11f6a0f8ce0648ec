package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"stap-exporter/test/harness"
)

// versionOf returns a script whose metrics have the version of its file.
func versionOf(n int) string {
	return fmt.Sprintf(`
global version
probe begin { version[%d] = 1 }
probe prometheus { @prometheus_dump_array1(version, "version", "of") }
`, n)
}

// edit writes a file as most editors do: a new file, renamed over the old one.
func edit(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path+".swp", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".swp", path); err != nil {
		t.Fatal(err)
	}
}

// liveDirectory is an exporter whose script directory changes. A client scrapes
// its script neighbour.stp without a pause.
type liveDirectory struct {
	*harness.Exporter
	dir     string
	stop    func()
	scrapes int // of the neighbour, after stop
}

func startLiveDirectory(t *testing.T) *liveDirectory {
	t.Helper()
	harness.NeedStap(t)
	l := &liveDirectory{dir: filepath.Join(t.TempDir(), "scripts")}
	if err := os.Mkdir(l.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	edit(t, l.dir, "a.stp", versionOf(1))
	edit(t, l.dir, "neighbour.stp", harness.Counting)
	l.Exporter = harness.Start(t, l.dir, "--web.enable-lifecycle")
	for _, path := range []string{"/a.stp", "/neighbour.stp"} {
		if p := l.Get(path, "60"); p.Code != 200 {
			t.Fatalf("%s: %d %s", path, p.Code, p.Body)
		}
	}
	stop := make(chan struct{})
	var client sync.WaitGroup
	client.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			p, err := l.Ask("/neighbour.stp", "")
			if err != nil || p.Code != 200 || !harness.CountingText.MatchString(p.Body) {
				t.Errorf("the neighbour: %d %q %v", p.Code, p.Body, err)
				return
			}
			l.scrapes++
		}
	})
	l.stop = sync.OnceFunc(func() {
		close(stop)
		client.Wait()
	})
	t.Cleanup(l.stop)
	return l
}

// serves returns a condition: path answers with the text of a version.
func (l *liveDirectory) serves(path string, n int) func() bool {
	return func() bool { return l.Get(path, "10").Body == fmt.Sprintf("version{of=\"%d\"} 1\n", n) }
}

// Scripts are edited, broken, removed and added while the exporter runs, with
// the real SystemTap.
func TestLiveDirectory(t *testing.T) {
	l := startLiveDirectory(t)
	l.changeScripts(t)
	l.moveDirectory(t)
	l.reload(t)
	l.operate(t)

	l.stop()
	t.Logf("%d scrapes of the neighbour", l.scrapes)
	if n := strings.Count(l.Log(), `"script":"neighbour.stp","state":"starting"`); n != 1 {
		t.Errorf("the neighbour was started %d times", n)
	}
	l.StopClean()
}

func (l *liveDirectory) changeScripts(t *testing.T) {
	edit(t, l.dir, "a.stp", versionOf(2))
	harness.Eventually(t, "the edited script is served", l.serves("/a.stp", 2))

	edit(t, l.dir, "a.stp", "probe begin { this is no script\n")
	harness.Eventually(t, "the broken version is refused", func() bool {
		return strings.Contains(l.Get("/api/v1/scripts/a.stp", "").Body, "parse error")
	})
	if !l.serves("/a.stp", 2)() {
		t.Error("the old version does not run any more")
	}
	edit(t, l.dir, "a.stp", versionOf(3))
	harness.Eventually(t, "the corrected version is served", l.serves("/a.stp", 3))

	edit(t, l.dir, "b-autostart.stp", versionOf(7))
	harness.Eventually(t, "a new script is served", l.serves("/b-autostart.stp", 7))

	if err := os.Remove(filepath.Join(l.dir, "a.stp")); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "a removed script is not found", func() bool { return l.Get("/a.stp", "").Code == 404 })
	harness.Eventually(t, "its processes have ended", func() bool {
		return !strings.Contains(fmt.Sprint(harness.Descendants(l.Cmd.Process.Pid)), "_a_")
	})
}

func (l *liveDirectory) moveDirectory(t *testing.T) {
	if err := os.Rename(l.dir, l.dir+".away"); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the log reports that the directory is gone", func() bool {
		return strings.Contains(l.Log(), "cannot read script directory")
	})
	if code := l.Post("/-/reload"); code != 500 {
		t.Errorf("reload without a directory: %d", code)
	}
	if !l.serves("/b-autostart.stp", 7)() {
		t.Error("without the directory a running script is not served")
	}
	if err := os.Rename(l.dir+".away", l.dir); err != nil {
		t.Fatal(err)
	}
	edit(t, l.dir, "a.stp", versionOf(4))
	harness.Eventually(t, "the directory is back, with a script", l.serves("/a.stp", 4))
}

func (l *liveDirectory) reload(t *testing.T) {
	edit(t, l.dir, "late.stp", versionOf(5))
	if code := l.Post("/-/reload"); code != 200 {
		t.Errorf("reload: %d", code)
	}
	if !l.serves("/late.stp", 5)() {
		t.Error("a new script is not served after /-/reload")
	}
	reloads := func() int { return strings.Count(l.Log(), `"msg":"reloaded"`) }
	before := reloads()
	if err := l.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "SIGHUP reloads", func() bool { return reloads() > before })
}

func (l *liveDirectory) operate(t *testing.T) {
	const status = "/api/v1/scripts/b-autostart.stp"
	for _, c := range []struct{ action, state string }{
		{"stop", "idle"},
		{"start", "running"},
		{"restart", "running"},
		{"stop", "idle"},
	} {
		before := l.Get(status, "").Body
		if code := l.Post(status + "/" + c.action); code != 202 {
			t.Errorf("%s: %d", c.action, code)
		}
		harness.Eventually(t, c.action, func() bool {
			now := l.Get(status, "").Body
			return now != before && strings.Contains(now, `"state": "`+c.state+`"`)
		})
	}
	if p := l.Get("/b-autostart.stp", "10"); p.Code != 503 || !strings.Contains(p.Body, "paused by an operator") {
		t.Errorf("a stopped script: %d %q", p.Code, p.Body)
	}
}

// An executable script cannot be validated: it is restarted at once.
func TestChangedExecutableIsRestarted(t *testing.T) {
	harness.NeedStap(t)
	wrapper := func(n int) string {
		return "#!/bin/sh\n# " + fmt.Sprint(n) + "\nexec stap --bpf \"$@\" -e '" + versionOf(n) + "'\n"
	}
	dir := harness.ScriptDir(t, map[string]string{"p.stp": wrapper(1)})
	e := harness.Start(t, dir)
	if p := e.Get("/p.stp", "60"); p.Body != "version{of=\"1\"} 1\n" {
		t.Fatalf("%d %s", p.Code, p.Body)
	}
	path := filepath.Join(dir, "p.stp")
	if err := os.WriteFile(path+".new", []byte(wrapper(2)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(
		t,
		"the changed script is served",
		func() bool { return e.Get("/p.stp", "10").Body == "version{of=\"2\"} 1\n" },
	)
	e.StopClean()
}
