package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"stap-exporter/test/harness"
)

// With few file descriptors, and more idle connections than there are
// descriptors, scripts start and are read, and a reply comes each time.
func TestFewDescriptors(t *testing.T) {
	harness.NeedProgram(t, "prlimit")
	for _, limit := range []int{88, 64, 40} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			program := filepath.Join(t.TempDir(), "exporter")
			text := fmt.Sprintf("#!/bin/sh\nexec prlimit --nofile=%d:%d %q \"$@\"\n", limit, limit, harness.Binary(t))
			if err := os.WriteFile(program, []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
			dir := harness.ScriptDir(t, map[string]string{
				"a.stp": harness.StandInScript("good"),
				"b.stp": harness.StandInScript("good"),
			})
			e := harness.StartBinary(t, program, dir)
			if p := e.Get("/a.stp", "60"); p.Code != 200 {
				t.Fatalf("a.stp: %d %s", p.Code, p.Body)
			}
			for range 2 * limit {
				c, err := net.Dial("tcp", strings.TrimPrefix(e.URL, "http://"))
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = c.Close() }()
			}
			// Until all of them are accepted a reply may be lost with a
			// connection that gives way to the next one.
			harness.Eventually(t, "the connections are accepted", func() bool {
				p, err := e.Ask("/-/healthy", "60")
				return err == nil && p.Code == 200
			})
			for _, path := range []string{"/a.stp", "/b.stp", "/metrics", "/a.stp"} {
				if p := e.Get(path, "60"); p.Code != 200 {
					t.Errorf("%s: %d %s", path, p.Code, p.Body)
				}
			}
			if code := e.Stop(syscall.SIGTERM); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}
