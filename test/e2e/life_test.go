package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"stap-exporter/internal/procfile"
	"stap-exporter/test/harness"
)

var countLine = regexp.MustCompile(`(?m)^count\{tid="\d+",cpu="\d+"\} \d+$`)

// shipped is the directory of the project's scripts.
const shipped = "../../scripts"

// readSomething reads through the C library, which example.stp counts. On an
// idle machine no other process may do so.
func readSomething(t *testing.T) {
	t.Helper()
	if err := exec.Command("dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=10").Run(); err != nil {
		t.Fatal(err)
	}
}

// The states of an on-demand script and of an autostart script, as a user sees
// them, with the real SystemTap.
func TestLifeOfAScript(t *testing.T) {
	harness.NeedStap(t)
	example, err := os.ReadFile(filepath.Join(shipped, "example.stp"))
	if err != nil {
		t.Fatal(err)
	}
	e := harness.Start(
		t,
		harness.ScriptDir(t, map[string]string{"on demand.stp": string(example), "autostart.stp": string(example)}),
		"-k",
		"2",
	)

	if p := e.Get("/none.stp", ""); p.Code != 404 || !strings.HasPrefix(p.Body, "script not found") {
		t.Errorf("unknown script: %d %q", p.Code, p.Body)
	}
	harness.Eventually(t, "the autostart script has counts", func() bool {
		readSomething(t)
		p := e.Get("/autostart.stp", "30")
		return p.Code == 200 && countLine.MatchString(p.Body) &&
			p.Header.Get("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
	})

	starting := e.Get("/on demand.stp", "")
	if starting.Code != 503 || !strings.HasPrefix(starting.Body, "Refresh page to access metrics.") {
		t.Fatalf("first request: %d %q", starting.Code, starting.Body)
	}
	if n, err := strconv.Atoi(starting.Header.Get("Retry-After")); err != nil || n < 1 {
		t.Errorf("Retry-After %q", starting.Header.Get("Retry-After"))
	}
	harness.Eventually(t, "the on-demand script has counts", func() bool {
		readSomething(t)
		p := e.Get("/on demand.stp", "")
		return p.Code == 200 && countLine.MatchString(p.Body)
	})
	running := len(harness.Descendants(e.Cmd.Process.Pid))
	if list := e.Get("/", "").Body; strings.Count(list, "running") != 2 {
		t.Errorf("list:\n%s", list)
	}
	// Requests for the list and the health check do not extend the keepalive.
	harness.Eventually(t, "the on-demand script is stopped", func() bool {
		if p := e.Get("/-/healthy", ""); p.Code != 200 {
			t.Fatalf("health: %d", p.Code)
		}
		return strings.Contains(e.Get("/", "").Body, "idle") && len(harness.Descendants(e.Cmd.Process.Pid)) < running
	})
	if p := e.Get("/on demand.stp", ""); p.Code != 503 {
		t.Errorf("after keepalive: %d %q", p.Code, p.Body)
	}
	harness.Eventually(t, "it is stopped again", func() bool { return strings.Contains(e.Get("/", "").Body, "idle") })
	// On an idle machine there may have been no read yet.
	p := e.Get("/on demand.stp", "30")
	if p.Code != 200 || !countLine.MatchString(p.Body) && !strings.Contains(p.Body, "no samples yet") {
		t.Errorf("with the timeout header: %d %q", p.Code, p.Body)
	}
	e.StopClean()
}

// The shipped scripts count the reads of a process that reads 5,000 times.
func TestShippedScriptsCountRealReads(t *testing.T) {
	harness.NeedStap(t)
	e := harness.Start(t, shipped)
	for _, name := range []string{"/example.stp", "/reads-by-process-autostart.stp"} {
		if p := e.Get(name, "60"); p.Code != 200 {
			t.Fatalf("%s: %d %s", name, p.Code, p.Body)
		}
	}
	dd := exec.Command("dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=5000")
	if err := dd.Run(); err != nil {
		t.Fatal(err)
	}
	sum := 0
	ofDD := regexp.MustCompile(fmt.Sprintf(`(?m)^count\{tid="%d",cpu="\d+"\} (\d+)$`, dd.Process.Pid))
	for _, m := range ofDD.FindAllStringSubmatch(e.Get("/example.stp", "").Body, -1) {
		n, _ := strconv.Atoi(m[1])
		sum += n
	}
	if sum < 5000 || sum > 5100 {
		t.Errorf("dd read 5000 times, counted %d", sum)
	}
	byName := regexp.MustCompile(`(?m)^count_reads_total\{execname="dd",uid="\d+"\} (\d+)$`).
		FindStringSubmatch(e.Get("/reads-by-process-autostart.stp", "").Body)
	if byName == nil {
		t.Fatal("dd is not counted by name")
	}
	if n, _ := strconv.Atoi(byName[1]); n < 5000 {
		t.Errorf("dd read 5000 times, counted %d by name", n)
	}
}

// Sixteen clients request one script back to back for ten seconds. Every reply
// is a complete text of a read that began after the request.
func TestHammer(t *testing.T) {
	harness.NeedStap(t)
	e := harness.Start(t, harness.ScriptDir(t, map[string]string{"c.stp": harness.Counting}))
	if p := e.Get("/c.stp", "60"); p.Code != 200 {
		t.Fatalf("%d %s", p.Code, p.Body)
	}
	var newest, replies atomic.Int64
	var clients sync.WaitGroup
	end := time.Now().Add(10 * time.Second)
	for range 16 {
		clients.Go(func() {
			for time.Now().Before(end) {
				before := newest.Load()
				p := e.Get("/c.stp", "")
				m := harness.CountingText.FindStringSubmatch(p.Body)
				if p.Code != 200 || m == nil {
					t.Errorf("reply is not one complete text: %d %q", p.Code, p.Body)
					return
				}
				seq, _ := strconv.ParseInt(m[1], 10, 64)
				if seq <= before {
					t.Errorf("reply of read %d, but read %d was done before the request", seq, before)
					return
				}
				harness.Raise(&newest, seq)
				replies.Add(1)
			}
		})
	}
	clients.Wait()
	t.Logf("%d replies from %d reads", replies.Load(), newest.Load())
	e.StopClean()
}

// The back-off of an autostart script that ends at once grows, and other
// scripts answer as before.
func TestAutostartThatEndsAtOnce(t *testing.T) {
	harness.NeedStap(t)
	e := harness.Start(
		t,
		harness.ScriptDir(
			t,
			map[string]string{
				"crash-autostart.stp": "#!/bin/sh\necho ERROR: no such luck >&2\nexit 3\n",
				"c.stp":               harness.Counting,
			},
		),
	)
	if p := e.Get("/c.stp", "60"); p.Code != 200 {
		t.Fatalf("%d %s", p.Code, p.Body)
	}
	begun := time.Now()
	for time.Since(begun) < 5*time.Second {
		p := e.Get("/crash-autostart.stp", "60")
		if p.Code != 503 {
			t.Fatalf("%d %s", p.Code, p.Body)
		}
		if strings.Contains(p.Body, "in back-off") &&
			(!strings.Contains(p.Body, "exit code 3") || !strings.Contains(p.Body, "no such luck")) {
			t.Fatalf("no reason: %s", p.Body)
		}
		if p := e.Get("/c.stp", ""); p.Code != 200 {
			t.Fatalf("%d %s", p.Code, p.Body)
		}
	}
	if n := strings.Count(e.Log(), `"child ended unexpectedly"`); n < 2 || n > 4 {
		t.Errorf("started %d times in 5 s", n)
	}
}

// A script whose FIFO is removed while it runs is started again.
func TestFIFORemovedFromARunningScript(t *testing.T) {
	harness.NeedStap(t)
	e := harness.Start(
		t,
		harness.ScriptDir(t, map[string]string{"c-autostart.stp": harness.Counting}),
		"--script.read-timeout=1s",
	)
	if p := e.Get("/c-autostart.stp", "60"); p.Code != 200 {
		t.Fatalf("%d %s", p.Code, p.Body)
	}
	if err := os.RemoveAll(filepath.Join(
		procfile.DefaultRoots().FIFO,
		e.Status("c-autostart.stp").Module,
	)); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "it answers again", func() bool { return e.Get("/c-autostart.stp", "").Code == 200 })
	e.Stop(syscall.SIGTERM)
	e.CheckResidue()
}

// Unusual file names work, or are refused by name in the log.
func TestOddNames(t *testing.T) {
	harness.NeedStap(t)
	long := strings.Repeat("l", 251) + ".stp"
	names := map[string]string{
		"with space.stp": "/with%20space.stp",
		"ünï.stp":        "/%C3%BCn%C3%AF.stp",
		"100%.stp":       "/100%25.stp",
		"-leading.stp":   "/-leading.stp",
		"a-b.stp":        "/a-b.stp",
		"a_b.stp":        "/a_b.stp",
		"A_B.stp":        "/A_B.stp",
		"plus+.stp":      "/plus+.stp",
		long:             "/" + long,
	}
	files := map[string]string{"line\nbreak.stp": harness.Counting}
	for name := range names {
		files[name] = harness.Counting
	}
	e := harness.Start(t, harness.ScriptDir(t, files))
	for name, path := range names {
		if p := e.Get(path, "60"); p.Code != 200 || !harness.CountingText.MatchString(p.Body) {
			t.Errorf("%s: %d %s", name, p.Code, p.Body)
		}
	}
	if !strings.Contains(e.Log(), `line\nbreak`) {
		t.Error("the refused name is not in the log")
	}
	e.StopClean()
}

// The first scrape of an idle script: start, read and reply in one request,
// with the real bpf runtime.
func BenchmarkColdScrape(b *testing.B) {
	harness.NeedStap(b)
	scripts := map[string]string{}
	for i := range b.N {
		scripts[fmt.Sprintf("s%d.stp", i)] = harness.Counting
	}
	e := harness.Start(b, harness.ScriptDir(b, scripts))
	b.ResetTimer()
	for i := range b.N {
		if p := e.Get(fmt.Sprintf("/s%d.stp", i), "10"); p.Code != 200 {
			b.Fatalf("%d %s", p.Code, p.Body)
		}
	}
}
