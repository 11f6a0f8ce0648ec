//go:build vm

package guest

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

const mostBytes = 65535 // of the tapset's procfs file

func fullOutput(t *testing.T) {
	e := start(t, setup{scripts: map[string]string{"full.stp": text(t, "full")}})
	for range 3 {
		if p := e.metrics("/full.stp"); len(p.Body) != mostBytes || strings.Count(p.Body, "\n") != 255 {
			t.Errorf("%d bytes, ending in %q", len(p.Body), p.Body[max(0, len(p.Body)-20):])
		}
	}
	note(t, "200 with %d bytes", len(e.metrics("/full.stp").Body))
	e.stopClean()
}

// With one byte more the script ends, and the reply has the reason.
func tooMuchOutput(t *testing.T) {
	e := start(t, setup{scripts: map[string]string{"over.stp": text(t, "over")}})
	p := e.Get("/over.stp", startTimeout)
	note(t, "the first request gets %d with %d bytes", p.Code, len(p.Body))
	if p.Code == 200 && !strings.HasSuffix(p.Body, "\n") {
		t.Errorf("a 200 with a truncated line: %d bytes, ending in %q", len(p.Body), p.Body[len(p.Body)-20:])
	}
	p = e.waitForReply("/over.stp", 503, "longer than its procfs file holds", "65,535 bytes")
	t.Logf("%s", p.Body)
	e.stopClean()
}

// With suppressed errors the script keeps running, and its complete lines are
// served.
func truncatedOutput(t *testing.T) {
	e := start(t, setup{scripts: map[string]string{"quiet.stp": wrapper("quiet", "--suppress-handler-errors")}})
	for range 3 {
		p := e.metrics("/quiet.stp")
		lines := strings.Count(p.Body, "\n")
		if lines != 254 || !strings.HasSuffix(p.Body, "\"} 1\n") {
			t.Errorf("%d lines in %d bytes, ending in %q", lines, len(p.Body), p.Body[max(0, len(p.Body)-20):])
		}
	}
	note(t, "200 without the truncated line")
	e.stopClean()
}

func memoryOf(t *testing.T, pid int) (kB int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kB); err == nil {
			return kB
		}
	}
	return 0
}

// A script that prints without end does not block, does not fill memory or the
// log, and can be stopped.
func flood(t *testing.T) {
	e := start(t, setup{scripts: map[string]string{"flood.stp": text(t, "flood")}})
	e.metrics("/flood.stp")
	before := memoryOf(t, e.Cmd.Process.Pid)
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if p := e.Get("/flood.stp", ""); p.Code != 200 {
			t.Fatalf("%d %s", p.Code, p.Body)
		}
	}
	grown := memoryOf(t, e.Cmd.Process.Pid) - before
	begun := time.Now()
	e.stopClean()
	note(t, "10 s: memory %+d kB, log %d kB; TERM to end %s", grown, len(e.Log())>>10, seconds(time.Since(begun)))
	if grown > 30<<10 || len(e.Log()) > 1<<20 {
		t.Errorf("memory grew by %d kB, the log has %d bytes", grown, len(e.Log()))
	}
}

// A script whose standard output is closed by the reader ends without an error.
// The log has its end, and the exporter starts it again.
func closedStdout(t *testing.T) {
	e := start(t, setup{scripts: map[string]string{
		"prints.stp": "#!/bin/bash\nexec stap -v \"$@\" /in/scripts/prints.stp > >(head -1)\n",
	}})
	p := e.Get("/prints.stp", startTimeout)
	t.Logf("first: %d %s", p.Code, p.Body)
	eventually(t, "it has ended", func() bool {
		return strings.Contains(e.Log(), `child ended unexpectedly`)
	})
	for line := range strings.Lines(e.Log()) {
		if strings.Contains(line, "child ended unexpectedly") {
			t.Logf("%s", line)
			break
		}
	}
	p = e.Get("/prints.stp", "")
	note(t, "after its end %d %q", p.Code, strings.SplitN(p.Body, "\n", 2)[0])
	e.stopClean()
}
