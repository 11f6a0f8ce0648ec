package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
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

// post sends an empty POST and returns the status code.
func (e *exporter) post(path string) int {
	e.t.Helper()
	reply, err := http.Post(e.url+path, "", nil)
	if err != nil {
		e.t.Fatal(err)
	}
	reply.Body.Close()
	return reply.StatusCode
}

// TestLiveFolder edits, breaks, removes and adds scripts under a running
// exporter, with the real SystemTap, while a neighbour is scraped without a
// pause.
func TestLiveFolder(t *testing.T) {
	needStap(t)
	top := t.TempDir()
	dir := filepath.Join(top, "scripts")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	edit(t, dir, "a.stp", versionOf(1))
	edit(t, dir, "neighbour.stp", counting)
	e := startExporter(t, dir, "--web.enable-lifecycle")
	for _, path := range []string{"/a.stp", "/neighbour.stp"} {
		if p := e.get(path, "60"); p.code != 200 {
			t.Fatalf("%s: %d %s", path, p.code, p.body)
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
			if p := e.get("/neighbour.stp", ""); p.code != 200 || !countingText.MatchString(p.body) {
				t.Errorf("the neighbour: %d %q", p.code, p.body)
				return
			}
			scrapes++
		}
	})
	serves := func(path string, n int) func() bool {
		return func() bool { return e.get(path, "10").body == fmt.Sprintf("version{of=\"%d\"} 1\n", n) }
	}

	edit(t, dir, "a.stp", versionOf(2))
	eventually(t, "the edited script is served", serves("/a.stp", 2))

	edit(t, dir, "a.stp", "probe begin { this is no script\n")
	eventually(t, "the broken version is refused", func() bool {
		return strings.Contains(e.get("/api/v1/scripts/a.stp", "").body, "parse error")
	})
	if !serves("/a.stp", 2)() {
		t.Error("the old version does not run on")
	}
	edit(t, dir, "a.stp", versionOf(3))
	eventually(t, "the mended version is served", serves("/a.stp", 3))

	edit(t, dir, "b-autostart.stp", versionOf(7))
	eventually(t, "a new script is served", serves("/b-autostart.stp", 7))

	if err := os.Remove(filepath.Join(dir, "a.stp")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a removed script is not found", func() bool { return e.get("/a.stp", "").code == 404 })
	eventually(t, "and ended", func() bool {
		return !strings.Contains(strings.Join(descendants(e.cmd.Process.Pid), " "), "_a_")
	})

	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	eventually(
		t,
		"the log tells that the folder is gone",
		func() bool { return strings.Contains(e.logged(), "their folder cannot be read") },
	)
	if code := e.post("/-/reload"); code != 500 {
		t.Errorf("reload without a folder: %d", code)
	}
	if !serves("/b-autostart.stp", 7)() {
		t.Error("without the folder a running script is not served")
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	edit(t, dir, "a.stp", versionOf(4))
	eventually(t, "the folder is back, with a script", serves("/a.stp", 4))

	edit(t, dir, "late.stp", versionOf(5))
	if code := e.post("/-/reload"); code != 200 {
		t.Errorf("reload: %d", code)
	}
	if !serves("/late.stp", 5)() {
		t.Error("a new script is not served after /-/reload")
	}
	reloads := strings.Count(e.logged(), `"msg":"reloaded"`)
	if err := e.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "SIGHUP reloads", func() bool { return strings.Count(e.logged(), `"msg":"reloaded"`) > reloads })

	for _, c := range []struct{ action, state string }{{"stop", "idle"}, {"start", "running"}, {"restart", "running"}, {"stop", "idle"}} {
		before := e.get("/api/v1/scripts/b-autostart.stp", "").body
		if code := e.post("/api/v1/scripts/b-autostart.stp/" + c.action); code != 202 {
			t.Errorf("%s: %d", c.action, code)
		}
		eventually(t, c.action, func() bool {
			now := e.get("/api/v1/scripts/b-autostart.stp", "").body
			return now != before && strings.Contains(now, `"state": "`+c.state+`"`)
		})
	}
	if p := e.get("/b-autostart.stp", "10"); p.code != 503 || !strings.Contains(p.body, "paused by an operator") {
		t.Errorf("a stopped script: %d %q", p.code, p.body)
	}

	close(stop)
	clients.Wait()
	t.Logf("%d scrapes of the neighbour", scrapes)
	if n := strings.Count(e.logged(), `"script":"neighbour.stp","state":"starting"`); n != 1 {
		t.Errorf("the neighbour was started %d times", n)
	}
	if code := e.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	e.nothingLeft()
}

// A program cannot be tried first: it is restarted at once.
func TestChangedProgramIsRestarted(t *testing.T) {
	needStap(t)
	program := func(n int) string {
		return "#!/bin/sh\n# " + fmt.Sprint(n) + "\nexec stap --bpf \"$@\" -e '" + versionOf(n) + "'\n"
	}
	dir := folder(t, map[string]string{"p.stp": program(1)})
	e := startExporter(t, dir)
	if p := e.get("/p.stp", "60"); p.body != "version{of=\"1\"} 1\n" {
		t.Fatalf("%d %s", p.code, p.body)
	}
	path := filepath.Join(dir, "p.stp")
	if err := os.WriteFile(path+".new", []byte(program(2)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	eventually(
		t,
		"the changed program is served",
		func() bool { return e.get("/p.stp", "10").body == "version{of=\"2\"} 1\n" },
	)
	if code := e.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	e.nothingLeft()
}
