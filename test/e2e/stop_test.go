package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"stap-exporter/test/harness"
)

// stubborn is a wrapper that ignores SIGTERM, as its child does. It offers no
// metrics, so it stays in the state starting.
const stubborn = "#!/bin/bash\ntrap '' TERM INT\nsleep 300 & # \"$@\"\nwhile :; do wait; sleep 1; done\n"

func TestStopUnderLoad(t *testing.T) {
	harness.NeedStap(t)
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			e := harness.Start(t, harness.ScriptDir(t, map[string]string{
				"c.stp":                  harness.Counting,
				"d-autostart.stp":        harness.Counting,
				"stubborn-autostart.stp": stubborn,
			}))
			if p := e.Get("/c.stp", "60"); p.Code != 200 {
				t.Fatalf("%d %s", p.Code, p.Body)
			}
			harness.Eventually(t, "the stubborn script runs", func() bool {
				return strings.Contains(fmt.Sprint(harness.TaggedProcesses(e.CacheDir())), "sleep 300")
			})
			var clients sync.WaitGroup
			for range 4 {
				clients.Go(func() {
					for {
						if _, err := e.Ask("/c.stp", ""); err != nil {
							return // the exporter has ended
						}
					}
				})
			}
			code := e.Stop(signal)
			clients.Wait()
			if code != 0 {
				t.Errorf("exit code %d", code)
			}
			e.CheckResidue()
		})
	}
}

// A second signal kills a child that ignores the first.
func TestSecondSignalKills(t *testing.T) {
	e := harness.Start(t, harness.ScriptDir(t, map[string]string{"stubborn-autostart.stp": stubborn}))
	harness.Eventually(t, "the status has the script's shell and its child", func() bool {
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
	harness.Eventually(t, "it stops", func() bool { return strings.Contains(e.Log(), `"stopping"`) })
	e.StopClean()
	if !strings.Contains(e.Log(), "killing child processes") {
		t.Error("no line about it in the log")
	}
}
