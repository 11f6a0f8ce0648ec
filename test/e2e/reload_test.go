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

// versionOf is a script whose metrics say which version of its file they are
// of.
func versionOf(n int) string {
	return fmt.Sprintf(
		"global version\nprobe begin { version[%d] = 1 }\nprobe prometheus { @prometheus_dump_array1(version, \"version\", \"of\") }\n",
		n,
	)
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

// TestLiveFolder edits, breaks, removes and adds scripts under a running
// exporter, with the real SystemTap, while a neighbour is scraped without a
// pause.
func TestLiveFolder(t *testing.T) {
	harness.NeedStap(t)
	top := t.TempDir()
	dir := filepath.Join(top, "scripts")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	edit(t, dir, "a.stp", versionOf(1))
	edit(t, dir, "neighbour.stp", counting)
	e := harness.Start(t, dir, "--web.enable-lifecycle")
	for _, path := range []string{"/a.stp", "/neighbour.stp"} {
		if p := e.Get(path, "60"); p.Code != 200 {
			t.Fatalf("%s: %d %s", path, p.Code, p.Body)
		}
	}
	stop := make(chan struct{})
	var clients sync.WaitGroup
	scrapes := 0
	clients.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if p := e.Get("/neighbour.stp", ""); p.Code != 200 || !countingText.MatchString(p.Body) {
				t.Errorf("the neighbour: %d %q", p.Code, p.Body)
				return
			}
			scrapes++
		}
	})
	serves := func(path string, n int) func() bool {
		return func() bool { return e.Get(path, "10").Body == fmt.Sprintf("version{of=\"%d\"} 1\n", n) }
	}

	edit(t, dir, "a.stp", versionOf(2))
	harness.Eventually(t, "the edited script is served", serves("/a.stp", 2))

	edit(t, dir, "a.stp", "probe begin { this is no script\n")
	harness.Eventually(t, "the broken version is refused", func() bool {
		return strings.Contains(e.Get("/api/v1/scripts/a.stp", "").Body, "parse error")
	})
	if !serves("/a.stp", 2)() {
		t.Error("the old version does not run on")
	}
	edit(t, dir, "a.stp", versionOf(3))
	harness.Eventually(t, "the mended version is served", serves("/a.stp", 3))

	edit(t, dir, "b-autostart.stp", versionOf(7))
	harness.Eventually(t, "a new script is served", serves("/b-autostart.stp", 7))

	if err := os.Remove(filepath.Join(dir, "a.stp")); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "a removed script is not found", func() bool { return e.Get("/a.stp", "").Code == 404 })
	harness.Eventually(t, "and ended", func() bool {
		return !strings.Contains(strings.Join(harness.Descendants(e.Cmd.Process.Pid), " "), "_a_")
	})

	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(
		t,
		"the log tells that the folder is gone",
		func() bool { return strings.Contains(e.Log(), "cannot read script directory") },
	)
	if code := e.Post("/-/reload"); code != 500 {
		t.Errorf("reload without a folder: %d", code)
	}
	if !serves("/b-autostart.stp", 7)() {
		t.Error("without the folder a running script is not served")
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	edit(t, dir, "a.stp", versionOf(4))
	harness.Eventually(t, "the folder is back, with a script", serves("/a.stp", 4))

	edit(t, dir, "late.stp", versionOf(5))
	if code := e.Post("/-/reload"); code != 200 {
		t.Errorf("reload: %d", code)
	}
	if !serves("/late.stp", 5)() {
		t.Error("a new script is not served after /-/reload")
	}
	reloads := strings.Count(e.Log(), `"msg":"reloaded"`)
	if err := e.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "SIGHUP reloads", func() bool { return strings.Count(e.Log(), `"msg":"reloaded"`) > reloads })

	for _, c := range []struct{ action, state string }{{"stop", "idle"}, {"start", "running"}, {"restart", "running"}, {"stop", "idle"}} {
		before := e.Get("/api/v1/scripts/b-autostart.stp", "").Body
		if code := e.Post("/api/v1/scripts/b-autostart.stp/" + c.action); code != 202 {
			t.Errorf("%s: %d", c.action, code)
		}
		harness.Eventually(t, c.action, func() bool {
			now := e.Get("/api/v1/scripts/b-autostart.stp", "").Body
			return now != before && strings.Contains(now, `"state": "`+c.state+`"`)
		})
	}
	if p := e.Get("/b-autostart.stp", "10"); p.Code != 503 || !strings.Contains(p.Body, "paused by an operator") {
		t.Errorf("a stopped script: %d %q", p.Code, p.Body)
	}

	close(stop)
	clients.Wait()
	t.Logf("%d scrapes of the neighbour", scrapes)
	if n := strings.Count(e.Log(), `"script":"neighbour.stp","state":"starting"`); n != 1 {
		t.Errorf("the neighbour was started %d times", n)
	}
	if code := e.Stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	e.CheckResidue()
}

// A program cannot be tried first: it is restarted at once.
func TestChangedProgramIsRestarted(t *testing.T) {
	harness.NeedStap(t)
	program := func(n int) string {
		return "#!/bin/sh\n# " + fmt.Sprint(n) + "\nexec stap --bpf \"$@\" -e '" + versionOf(n) + "'\n"
	}
	dir := harness.ScriptDir(t, map[string]string{"p.stp": program(1)})
	e := harness.Start(t, dir)
	if p := e.Get("/p.stp", "60"); p.Body != "version{of=\"1\"} 1\n" {
		t.Fatalf("%d %s", p.Code, p.Body)
	}
	path := filepath.Join(dir, "p.stp")
	if err := os.WriteFile(path+".new", []byte(program(2)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(
		t,
		"the changed program is served",
		func() bool { return e.Get("/p.stp", "10").Body == "version{of=\"2\"} 1\n" },
	)
	if code := e.Stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	e.CheckResidue()
}
