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
		if p := e.metrics("/full.stp"); len(p.body) != mostBytes || strings.Count(p.body, "\n") != 255 {
			t.Errorf("%d bytes, ending in %q", len(p.body), p.body[max(0, len(p.body)-20):])
		}
	}
	note(t, "200 with %d bytes", len(e.metrics("/full.stp").body))
	e.endsClean()
}

// Past that the script dies, and what it died of is said.
func tooMuchOutput(t *testing.T) {
	e := start(t, setup{scripts: map[string]string{"over.stp": text(t, "over")}})
	p := e.get("/over.stp", patience)
	note(t, "the first request gets %d with %d bytes", p.code, len(p.body))
	if p.code == 200 && !strings.HasSuffix(p.body, "\n") {
		t.Errorf("a 200 with a torn line: %d bytes, ending in %q", len(p.body), p.body[len(p.body)-20:])
	}
	p = e.says("/over.stp", 503, "longer than its procfs file holds", "65,535 bytes")
	t.Logf("%s", p.body)
	e.endsClean()
}

// With errors suppressed the script lives on, and only its whole lines are
// served.
func tornOutput(t *testing.T) {
	e := start(t, setup{scripts: map[string]string{"quiet.stp": wrapper("quiet", "--suppress-handler-errors")}})
	for range 3 {
		p := e.metrics("/quiet.stp")
		lines := strings.Count(p.body, "\n")
		if lines != 254 || !strings.HasSuffix(p.body, "\"} 1\n") {
			t.Errorf("%d lines in %d bytes, ending in %q", lines, len(p.body), p.body[max(0, len(p.body)-20):])
		}
	}
	note(t, "200 without the torn line")
	e.endsClean()
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

// A script that prints without end neither stalls, nor fills memory or the log,
// nor hangs when it is stopped.
func flood(t *testing.T) {
	e := start(t, setup{scripts: map[string]string{"flood.stp": text(t, "flood")}})
	e.metrics("/flood.stp")
	before := memoryOf(t, e.pid())
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if p := e.get("/flood.stp", ""); p.code != 200 {
			t.Fatalf("%d %s", p.code, p.body)
		}
	}
	grown := memoryOf(t, e.pid()) - before
	begun := time.Now()
	e.endsClean()
	note(t, "10 s: memory %+d kB, log %d kB; TERM to end %s", grown, len(e.logged())>>10, seconds(time.Since(begun)))
	if grown > 30<<10 || len(e.logged()) > 1<<20 {
		t.Errorf("memory grew by %d kB, the log has %d bytes", grown, len(e.logged()))
	}
}

// A script whose standard output is closed by its reader ends, in peace; the
// exporter says that it ended and starts it again.
func closedStdout(t *testing.T) {
	e := start(t, setup{scripts: map[string]string{
		"prints.stp": "#!/bin/bash\nexec stap -v \"$@\" /in/scripts/prints.stp > >(head -1)\n",
	}})
	p := e.get("/prints.stp", patience)
	t.Logf("first: %d %s", p.code, p.body)
	eventually(t, "it has ended", func() bool {
		return strings.Contains(e.logged(), `child ended by itself`)
	})
	for line := range strings.Lines(e.logged()) {
		if strings.Contains(line, "child ended by itself") {
			t.Logf("%s", line)
			break
		}
	}
	p = e.get("/prints.stp", "")
	note(t, "after its end %d %q", p.code, strings.SplitN(p.body, "\n", 2)[0])
	e.endsClean()
}
