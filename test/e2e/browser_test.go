package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"stap-exporter/test/harness"
)

// browser is a headless Chromium with one page, driven over the pipe of its
// DevTools protocol: JSON messages, each ended by a NUL byte. See
// https://chromedevtools.github.io/devtools-protocol/.
type browser struct {
	t       *testing.T
	in      *os.File
	out     *bufio.Reader
	last    int    // number of the last command
	session string // of the page
}

// startBrowser starts it with a blank page. It ends with the test.
func startBrowser(t *testing.T, flags ...string) *browser {
	t.Helper()
	program := harness.NeedProgram(t, "chromium")
	fromUs, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, toUs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	flags = append([]string{
		"--headless",
		"--no-sandbox",
		"--disable-gpu",
		"--disable-dev-shm-usage",
		"--no-first-run",
		"--remote-debugging-pipe",
		"--user-data-dir=" + home + "/profile",
	}, flags...)
	cmd := exec.Command(program, append(flags, "about:blank")...)
	cmd.Env = append(os.Environ(), "HOME="+home)
	cmd.ExtraFiles = []*os.File{fromUs, toUs} // 3 and 4, where it looks for them
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fromUs.Close()
	toUs.Close()
	b := &browser{t: t, in: in, out: bufio.NewReader(out)}
	t.Cleanup(func() {
		in.Close() // it ends when the pipe is closed
		ended := time.AfterFunc(30*time.Second, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		_ = cmd.Wait() // the result does not matter
		ended.Stop()
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // its processes that are slow to end
		out.Close()
	})
	if err := out.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	b.call("Page.enable", nil, nil)
	return b
}

// call sends a command and waits for its result. It skips events.
func (b *browser) call(method string, params, result any) {
	b.t.Helper()
	b.last++
	command := map[string]any{"id": b.last, "method": method, "params": params}
	if params == nil {
		command["params"] = struct{}{}
	}
	if b.session != "" {
		command["sessionId"] = b.session
	}
	text, err := json.Marshal(command)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(text, 0)); err != nil {
		b.t.Fatal(err)
	}
	for {
		text, err := b.out.ReadBytes(0)
		if err != nil {
			b.t.Fatalf("chromium, %s: %v", method, err)
		}
		var reply struct {
			ID     int
			Result json.RawMessage
			Error  *struct{ Message string }
		}
		if err := json.Unmarshal(text[:len(text)-1], &reply); err != nil {
			b.t.Fatal(err)
		}
		switch {
		case reply.ID != b.last:
		case reply.Error != nil:
			b.t.Fatalf("chromium, %s: %s", method, reply.Error.Message)
		default:
			if result != nil {
				if err := json.Unmarshal(reply.Result, result); err != nil {
					b.t.Fatal(err)
				}
			}
			return
		}
	}
}

// open navigates to an address as if a user had typed it.
func (b *browser) open(url string) {
	b.t.Helper()
	b.call("Page.navigate", map[string]any{"url": url}, nil)
}

// text returns the title and the text of the page.
func (b *browser) text() string {
	b.t.Helper()
	var got struct{ Result struct{ Value string } }
	b.call(
		"Runtime.evaluate",
		map[string]any{"expression": "document.title + '\\n' + (document.body ? document.body.innerText : '')"},
		&got,
	)
	return got.Result.Value
}

// A real browser that opens a script that is not running yet shows that it
// starts, and then its metrics, without user interaction.
func TestBrowserShowsMetricsByItself(t *testing.T) {
	harness.NeedStap(t)
	harness.NeedProgram(t, "chromium")
	t.Parallel()
	e := harness.Start(t, harness.ScriptDir(t, map[string]string{"a <b>.stp": harness.Counting}))
	b := startBrowser(t)
	b.open(e.URL)
	harness.Eventually(t, "the list", func() bool { return strings.Contains(b.text(), "a <b>.stp\tidle") })
	b.open(e.URL + "/a%20%3Cb%3E.stp")
	seen := ""
	harness.Eventually(t, "the starting page", func() bool {
		seen = b.text()
		return strings.HasPrefix(seen, "a <b>.stp is not running yet\n")
	})
	for _, words := range []string{"Refresh page to access metrics.", "This page refreshes itself."} {
		if !strings.Contains(seen, words) {
			t.Errorf("the starting page does not say %q: %q", words, seen)
		}
	}
	harness.Eventually(t, "the metrics", func() bool {
		seen = b.text()
		return strings.Contains(seen, `ticks{number="39",text="filler to make the text longer"} 39`)
	})
	if _, shown, _ := strings.Cut(seen, "\n"); !harness.CountingText.MatchString(strings.TrimSpace(shown) + "\n") {
		t.Errorf("the browser shows %q", seen)
	}
	var warnings []string
	for line := range strings.Lines(e.Log()) {
		if strings.Contains(line, `"level":"warn"`) || strings.Contains(line, `"level":"error"`) {
			warnings = append(warnings, line)
		}
	}
	if len(warnings) > 0 {
		t.Errorf("the exporter warns: %s", fmt.Sprint(warnings))
	}
}
