//go:build vm

package guest

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"stap-exporter/test/harness"

	"golang.org/x/sys/unix"
)

// scenarios are in the order in which they begin, the long ones first. Their
// names are the rows of the table, and -scenario matches them.
var scenarios = []struct {
	name string
	run  func(*testing.T)
}{
	{"auto: kernel modules after a full compile", autoWithGCC},
	{"compile: the packaged SystemTap on this kernel", packagedRuntime},
	{"doctor: the packaged SystemTap on this kernel", doctorPackaged},
	{"doctor: what a host lacks", doctorLacks},
	{"keepalive: stops and starts", keepaliveChurn},
	{"service: under systemd", systemdService},
	{"clients: 16 on one script for 20 s", manyClients},
	{"life: on demand, one stage", onDemandOneStage},
	{"life: on demand, two stages", onDemandTwoStage},
	{"life: an executable of stap's own", shebangTwoStage},
	{"life: --script.precompile", precompiled},
	{"life: the shipped scripts count real reads", shippedScripts},
	{"autostart: exit()", autostartExits},
	{"autostart: error() in a probe", autostartErrs},
	{"autostart: KILL of stapio", func(t *testing.T) { autostartKilled(t, "stapio") }},
	{"autostart: KILL of staprun", func(t *testing.T) { autostartKilled(t, "staprun") }},
	{"autostart: KILL of stap", func(t *testing.T) { autostartKilled(t, "stap") }},
	{"cleanup: others' modules are left alone", othersModules},
	{"cleanup: what a dead instance left", cleanupAtStart},
	{"KILL of the exporter: 5 moments", exporterKilled},
	{"TERM: while it compiles", termCompiling},
	{"TERM: while it loads", termLoading},
	{"TERM: while it runs", termRunning},
	{"clients: a foreign reader sits on the file", foreignReader},
	{"clients: the file is closed before a stop", closedBeforeStop},
	{"output: 65,535 bytes", fullOutput},
	{"output: 65,536 bytes", tooMuchOutput},
	{"output: 65,536 bytes, errors suppressed", truncatedOutput},
	{"output: flood of stdout", flood},
	{"output: closed stdout", closedStdout},
	{"trouble: probe overload", overload},
	{"trouble: MAXERRORS", maxErrors},
	{"users: stapdev", userStapdev},
	{"users: stapsys", userStapsys},
	{"users: stapusr", userStapusr},
	{"users: none of the groups", userPlain},
	{"host: no headers", noHeaders},
	{"host: no gcc", noGCC},
	{"host: no CAP_SYS_MODULE", noSysModule},
}

// parallel is the number of scenarios that run at once: they mostly wait.
const parallel = 3

// TestScenarios runs the scenarios in the order of the list. Parallel tests
// alone would begin in any order.
func TestScenarios(t *testing.T) {
	harness.Client.Timeout = fullCompile + time.Minute
	before := kernelLog(t)
	t.Run("all", func(t *testing.T) {
		var starts []chan struct{}
		slots := make(chan struct{}, parallel)
		for _, s := range scenarios {
			t.Run(s.name, func(t *testing.T) {
				start := make(chan struct{})
				starts = append(starts, start)
				t.Parallel() // continues when all scenarios are here
				<-start
				t.Cleanup(func() { <-slots }) // after all other cleanups
				begun := time.Now()
				t.Cleanup(func() { done(t, begun) })
				s.run(t)
			})
		}
		go func() {
			for _, start := range starts {
				slots <- struct{}{}
				close(start)
			}
		}()
	})
	t.Run("kernel: its log has no complaint", func(t *testing.T) {
		begun := time.Now()
		t.Cleanup(func() { done(t, begun) })
		for _, line := range complaints(strings.TrimPrefix(kernelLog(t), before)) {
			t.Error(line)
		}
		if left := modules("stap_"); len(left) > 0 {
			t.Errorf("modules left: %q", left)
		}
	})
}

// done reports a scenario's end to the host at once. The testing package
// reports parallel tests only when all have ended.
func done(t *testing.T, begun time.Time) {
	outcome := "passed"
	switch {
	case t.Skipped():
		outcome = "skipped"
	case t.Failed():
		outcome = "FAILED"
	}
	fmt.Printf("DONE %s %s %.1f\n", t.Name(), outcome, time.Since(begun).Seconds())
}

// complaint matches the first lines of the kernel's reports of bugs.
var complaint = regexp.MustCompile(
	`WARNING: |BUG: |Oops|general protection|refcount_t|remove_proc_entry|leaking|blocked for more than|` +
		`soft lockup|rcu.*stall|Call Trace|unregister_.*busy`,
)

// harmless matches what the kernel logs for every module that is built outside
// of its tree.
var harmless = regexp.MustCompile(`taints kernel|module verification failed`)

func complaints(log string) (lines []string) {
	for line := range strings.Lines(log) {
		if complaint.MatchString(line) && !harmless.MatchString(line) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

func kernelLog(t *testing.T) string {
	t.Helper()
	buf := make([]byte, 4<<20)
	n, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}
