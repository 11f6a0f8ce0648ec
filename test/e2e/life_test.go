package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"stap-exporter/internal/app"
	"stap-exporter/test/harness"
)

// counting counts its own reads: "seq" grows by one with each run of the
// prometheus probe, and the text ends in "last".
const counting = `
global seq, ticks, last
probe begin { for (i = 0; i < 40; i++) ticks[i, "filler to make the text longer"] = i; last[0] = 1 }
probe timer.ms(20) { ticks[100, "ticks"]++ }
probe prometheus {
  seq[0]++
  @prometheus_dump_array1(seq, "seq", "name")
  @prometheus_dump_array2(ticks, "ticks", "number", "text")
  @prometheus_dump_array1(last, "last", "name")
}
`

var countingText = regexp.MustCompile(
	`^seq\{name="0"\} (\d+)\n(ticks\{number="\d+",text="[a-z ]+"\} \d+\n){40,41}last\{name="0"\} 1\n$`,
)

var countLine = regexp.MustCompile(`(?m)^count\{tid="\d+",cpu="\d+"\} \d+$`)

// shipped is the project's scripts folder.
const shipped = "../../scripts"

// readSomething reads through the C library: on a quiet machine nobody else
// may.
func readSomething(t *testing.T) {
	t.Helper()
	if err := exec.Command("dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=10").Run(); err != nil {
		t.Fatal(err)
	}
}

// TestLifeOfAScript replays what a user sees of an on-demand script and of an
// autostart one, with the real SystemTap.
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

	warming := e.Get("/on%20demand.stp", "")
	if warming.Code != 503 || !strings.HasPrefix(warming.Body, "Refresh page to access metrics.") {
		t.Fatalf("first request: %d %q", warming.Code, warming.Body)
	}
	if n, err := strconv.Atoi(warming.Header.Get("Retry-After")); err != nil || n < 1 {
		t.Errorf("Retry-After %q", warming.Header.Get("Retry-After"))
	}
	harness.Eventually(t, "the on-demand script has counts", func() bool {
		readSomething(t)
		p := e.Get("/on%20demand.stp", "")
		return p.Code == 200 && countLine.MatchString(p.Body)
	})
	running := len(harness.Descendants(e.Cmd.Process.Pid))
	if list := e.Get("/", "").Body; strings.Count(list, "running") != 2 {
		t.Errorf("list:\n%s", list)
	}
	// Silence beyond keepalive; the list and the health check do not break it.
	harness.Eventually(t, "the on-demand script is stopped", func() bool {
		if p := e.Get("/-/healthy", ""); p.Code != 200 {
			t.Fatalf("health: %d", p.Code)
		}
		return strings.Contains(e.Get("/", "").Body, "idle") && len(harness.Descendants(e.Cmd.Process.Pid)) < running
	})
	if p := e.Get("/on%20demand.stp", ""); p.Code != 503 {
		t.Errorf("after keepalive: %d %q", p.Code, p.Body)
	}
	harness.Eventually(t, "it is stopped again", func() bool { return strings.Contains(e.Get("/", "").Body, "idle") })
	// On a quiet machine nobody may have read yet: then the reply says so.
	if p := e.Get(
		"/on%20demand.stp",
		"30",
	); p.Code != 200 ||
		!countLine.MatchString(p.Body) && !strings.Contains(p.Body, "no samples yet") {
		t.Errorf("with the timeout header: %d %q", p.Code, p.Body)
	}
	if code := e.Stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	e.CheckResidue()
}

// The shipped scripts count what really happens: a process that reads 5,000
// times is seen with at least that many.
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
	for _, m := range regexp.MustCompile(fmt.Sprintf(`(?m)^count\{tid="%d",cpu="\d+"\} (\d+)$`, dd.Process.Pid)).FindAllStringSubmatch(e.Get("/example.stp", "").Body, -1) {
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

// Sixteen clients read one script back to back for ten seconds: every reply is
// whole, and of a read that began after its request.
func TestHammer(t *testing.T) {
	harness.NeedStap(t)
	e := harness.Start(t, harness.ScriptDir(t, map[string]string{"c.stp": counting}))
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
				m := countingText.FindStringSubmatch(p.Body)
				if p.Code != 200 || m == nil {
					t.Errorf("reply is not one whole text: %d %q", p.Code, p.Body)
					return
				}
				seq, _ := strconv.ParseInt(m[1], 10, 64)
				if seq <= before {
					t.Errorf("reply of read %d, though read %d was over before the request", seq, before)
					return
				}
				raise(&newest, seq)
				replies.Add(1)
			}
		})
	}
	clients.Wait()
	t.Logf("%d replies from %d reads", replies.Load(), newest.Load())
	if code := e.Stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	e.CheckResidue()
}

// raise makes n at least v.
func raise(n *atomic.Int64, v int64) {
	for {
		old := n.Load()
		if v <= old || n.CompareAndSwap(old, v) {
			return
		}
	}
}

// stubborn is a wrapper that ignores SIGTERM, and so does its child; it makes
// no file, so it starts for ever.
const stubborn = "#!/bin/bash\ntrap '' TERM INT\nsleep 300 & # \"$@\"\nwhile :; do wait; sleep 1; done\n"

func TestStopUnderLoad(t *testing.T) {
	harness.NeedStap(t)
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			e := harness.Start(
				t,
				harness.ScriptDir(
					t,
					map[string]string{
						"c.stp":                  counting,
						"d-autostart.stp":        counting,
						"stubborn-autostart.stp": stubborn,
					},
				),
			)
			if p := e.Get("/c.stp", "60"); p.Code != 200 {
				t.Fatalf("%d %s", p.Code, p.Body)
			}
			harness.Eventually(
				t,
				"all three run",
				func() bool { return len(harness.ProcessesWith("sleep\x00300")) > 0 },
			)
			stop := make(chan struct{})
			var clients sync.WaitGroup
			for range 4 {
				clients.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						reply, err := http.Get(e.URL + "/c.stp")
						if err != nil { // the server is gone: what came before must have been whole
							return
						}
						reply.Body.Close()
					}
				})
			}
			code := e.Stop(signal)
			close(stop)
			clients.Wait()
			if code != 0 {
				t.Errorf("exit code %d", code)
			}
			e.CheckResidue()
			if left := harness.ProcessesWith("sleep\x00300"); len(left) > 0 {
				t.Errorf("the stubborn child is left: %q", left)
			}
		})
	}
}

// A second signal does not wait for a child that ignores the first.
func TestSecondSignalKills(t *testing.T) {
	e := harness.Start(t, harness.ScriptDir(t, map[string]string{"stubborn-autostart.stp": stubborn}))
	harness.Eventually(t, "it runs, and the status names its shell and that one's child", func() bool {
		s := e.Status("stubborn-autostart.stp")
		i := slices.Index(s.OSPIDs, s.OSPID)
		if i < 0 || len(s.OSPIDs) != 2 {
			return false
		}
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", s.OSPIDs[1-i]))
		return string(cmdline) == "sleep\x00300\x00" &&
			strings.Contains(e.Get("/api/v1/scripts", "").Body, fmt.Sprint(s.OSPIDs[1-i]))
	})
	if err := e.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "it is being stopped", func() bool { return strings.Contains(e.Log(), `"stopping"`) })
	if code := e.Stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(e.Log(), "killing child processes") {
		t.Error("the log does not say so")
	}
	e.CheckResidue()
}

// An autostart script that ends at once is held off longer and longer, and the
// other does not notice.
func TestAutostartThatEndsAtOnce(t *testing.T) {
	harness.NeedStap(t)
	e := harness.Start(
		t,
		harness.ScriptDir(
			t,
			map[string]string{
				"crash-autostart.stp": "#!/bin/sh\necho ERROR: no such luck >&2\nexit 3\n",
				"c.stp":               counting,
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
	if n := strings.Count(e.Log(), `"child ended by itself"`); n < 2 || n > 4 {
		t.Errorf("started %d times in 5 s", n)
	}
}

// What is wrong with the command line or the machine is said in one line, which
// names it, with the right exit code.
func TestWrongStarts(t *testing.T) {
	scripts := harness.ScriptDir(t, map[string]string{"c.stp": counting})
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(scripts, "c.stp")
	for _, c := range []struct {
		name string
		args []string
		code int
		say  []string
	}{
		{"unknown flag", []string{"--nope"}, exitUsage, []string{"--nope"}},
		{"extra word", []string{"foo"}, exitUsage, []string{"foo"}},
		{"port that is none", []string{"-p", "abc"}, exitUsage, []string{"--port", "abc"}},
		{"port out of range", []string{"-p", "65536"}, exitUsage, []string{"--port", "65536"}},
		{"keepalive 0", []string{"-k", "0"}, exitUsage, []string{"--keepalive", `"0"`}},
		{"keepalive below 0", []string{"--keepalive=-5"}, exitUsage, []string{"--keepalive", `"-5"`}},
		{"runtime", []string{"--script.runtime=foo"}, exitUsage, []string{"--script.runtime", "foo"}},
		{"start places", []string{"--script.max-parallel-starts=0"}, exitUsage, []string{"--script.max-parallel-starts", `"0"`}},
		{"start timeout", []string{"--script.start-timeout=5"}, exitUsage, []string{"--script.start-timeout", `"5"`}},
		{"read timeout", []string{"--script.read-timeout=0s"}, exitUsage, []string{"--script.read-timeout", "0s"}},
		{"log level", []string{"--log.level=loud"}, exitUsage, []string{"--log.level", "loud"}},
		{"log format", []string{"--log.format=xml"}, exitUsage, []string{"--log.format", "xml"}},
		{"address", []string{"--web.listen-address=localhost"}, exitUsage, []string{"--web.listen-address", "localhost"}},
		{"IPv6 address without brackets", []string{"--web.listen-address=::1:9900"}, exitUsage, []string{"--web.listen-address", "::1:9900"}},
		{"no folder", []string{"-s", scripts + "/none"}, exitConfig, []string{scripts + "/none", "--scripts"}},
		{"blank in the cache folder", []string{"-s", scripts, "--cache.dir=" + t.TempDir() + "/a b"}, exitConfig, []string{"a b", "--cache.dir"}},
		{"a file", []string{"-s", file}, exitConfig, []string{file}},
		{"no stap", []string{"-s", scripts, "--stap.path=/none/stap"}, exitConfig, []string{"/none/stap", "install"}},
		{"stap is a folder", []string{"-s", scripts, "--stap.path=" + scripts}, exitConfig, []string{"find stap", scripts}},
		{"no runtime folder", []string{"-s", scripts, "--stap.runtime-dir=" + scripts}, exitConfig, []string{"--stap.runtime-dir", scripts}},
		{"cache folder below a file", []string{"-s", scripts, "--cache.dir=" + file + "/x"}, exitConfig, []string{file, "--cache.dir"}},
		{"no web config", []string{"-s", scripts, "--web.config.file=" + scripts + "/none.yml"}, exitConfig, []string{"none.yml"}},
		{"check unknown flag", []string{"check", "--nope"}, exitUsage, []string{"--nope"}},
		{"check no folder", []string{"check", "-s", scripts + "/none"}, exitConfig, []string{scripts + "/none", "--scripts"}},
		{"check a file", []string{"check", "-s", file}, exitConfig, []string{file}},
		{"check blank in the cache folder", []string{"check", "-s", scripts, "--cache.dir=" + t.TempDir() + "/a b"}, exitConfig, []string{"a b"}},
		{"check no stap", []string{"check", "-s", scripts, "--stap.path=/none/stap"}, exitConfig, []string{"/none/stap"}},
		{"doctor extra word", []string{"doctor", "foo"}, exitUsage, []string{"foo"}},
		{"guardian unknown flag", []string{app.GuardArg, "--nope"}, exitUsage, []string{"--nope"}},
		{"launcher no child", []string{app.LaunchArg}, exitFailure, nil},
		{"port taken", []string{"-s", scripts, "--web.listen-address=" + taken.Addr().String()}, exitFailure, []string{taken.Addr().String(), "--web.listen-address"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "check no folder" || c.name == "check a file" { // looks for stap first
				harness.NeedStap(t)
			}
			var out strings.Builder
			args := c.args
			if !strings.Contains(strings.Join(args, " "), "--cache.dir") {
				args = append(args, "--cache.dir="+t.TempDir())
			}
			cmd := exec.Command(harness.Binary(t), args...)
			cmd.Stderr = &out
			_ = cmd.Run() // its exit code is looked at below
			if cmd.ProcessState.ExitCode() != c.code {
				t.Errorf("exit code %d, want %d", cmd.ProcessState.ExitCode(), c.code)
			}
			for _, word := range c.say {
				if !strings.Contains(out.String(), word) {
					t.Errorf("does not say %q: %s", word, out.String())
				}
			}
			lines := 0
			for line := range strings.Lines(out.String()) {
				if strings.HasPrefix(line, "stap-exporter: ") {
					lines++
				} else if !strings.HasPrefix(line, "ts=") {
					t.Errorf("stray line: %s", line)
				}
			}
			if lines != 1 {
				t.Errorf("%d lines: %s", lines, out.String())
			}
		})
	}
}

func TestEmptyFolderServes(t *testing.T) {
	harness.NeedStap(t)
	e := harness.Start(t, t.TempDir())
	if !strings.Contains(e.Log(), "no scripts") {
		t.Errorf("no warning: %s", e.Log())
	}
	if p := e.Get("/", ""); p.Code != 200 {
		t.Errorf("list: %d", p.Code)
	}
}

// It is told so, whatever its cache folder, and does nothing to what the first
// one runs.
func TestSecondExporterOfTheSameIdentity(t *testing.T) {
	harness.NeedStap(t)
	e := harness.Start(t, harness.ScriptDir(t, map[string]string{"c-autostart.stp": counting}))
	if p := e.Get("/c-autostart.stp", "60"); p.Code != 200 {
		t.Fatalf("%d %s", p.Code, p.Body)
	}
	for name, cache := range map[string]string{"the same cache folder": "", "another cache folder": "--cache.dir=" + t.TempDir()} {
		args := append([]string(nil), e.Cmd.Args...)
		if cache != "" {
			for i, a := range args {
				if strings.HasPrefix(a, "--cache.dir=") {
					args[i] = cache
				}
			}
		}
		out, err := exec.Command("env", args...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), strconv.Itoa(e.Cmd.Process.Pid)) {
			t.Errorf("%s: the second one: %v %s", name, err, out)
		}
		if p := e.Get("/c-autostart.stp", "10"); p.Code != 200 {
			t.Errorf("%s: the first one answers %d %s", name, p.Code, p.Body)
		}
	}
}

// A file that is removed under a living script is not the end: the script is
// started anew.
func TestFIFORemovedUnderALivingScript(t *testing.T) {
	harness.NeedStap(t)
	e := harness.Start(
		t,
		harness.ScriptDir(t, map[string]string{"c-autostart.stp": counting}),
		"--script.read-timeout=1s",
	)
	if p := e.Get("/c-autostart.stp", "60"); p.Code != 200 {
		t.Fatalf("%d %s", p.Code, p.Body)
	}
	module := regexp.MustCompile(`stap_exporter_[0-9a-f]{8}_\w+`).
		FindString(strings.Join(harness.Descendants(e.Cmd.Process.Pid), " "))
	if err := os.RemoveAll("/var/tmp/systemtap-root/" + module); err != nil || module == "" {
		t.Fatalf("module %q: %v", module, err)
	}
	harness.Eventually(t, "it answers again", func() bool { return e.Get("/c-autostart.stp", "").Code == 200 })
	e.Stop(syscall.SIGTERM)
	e.CheckResidue()
}

// Odd names work or are refused by name; none breaks the others.
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
	files := map[string]string{"line\nbreak.stp": counting}
	for name := range names {
		files[name] = counting
	}
	e := harness.Start(t, harness.ScriptDir(t, files))
	for name, path := range names {
		if p := e.Get(path, "60"); p.Code != 200 || !countingText.MatchString(p.Body) {
			t.Errorf("%s: %d %s", name, p.Code, p.Body)
		}
	}
	if !strings.Contains(e.Log(), `line\nbreak`) {
		t.Error("the refused name is not in the log")
	}
	if code := e.Stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	e.CheckResidue()
}

// What an idle script costs its first scrape: started, read and answered in one
// request, with the real bpf runtime.
func BenchmarkColdScrape(b *testing.B) {
	if _, err := exec.LookPath("stap"); err != nil {
		b.Skip("SystemTap is not installed")
	}
	scripts := b.TempDir()
	for i := range b.N {
		if err := os.WriteFile(filepath.Join(scripts, fmt.Sprintf("s%d.stp", i)), []byte(counting), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	e := harness.Start(b, scripts)
	b.ResetTimer()
	for i := range b.N {
		if p := e.Get(fmt.Sprintf("/s%d.stp", i), "10"); p.Code != 200 {
			b.Fatalf("%d %s", p.Code, p.Body)
		}
	}
}
