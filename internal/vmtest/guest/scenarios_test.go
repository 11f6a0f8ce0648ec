//go:build vm

package guest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What scenarios need of the exporter; what is not built yet is in missing.
const (
	built        = ""
	startsCached = "the two-stage start and its cache"
	hasGuardian  = "the guardian"
	sweepsAtHome = "the sweep at start"
	hasDoctor    = "stap-exporter doctor"
	precompiles  = "--precompile"
)

var missing []string

// scenarios in the order in which they begin; those that take long come first.
var scenarios = []struct {
	name  string
	needs string
	run   func(*testing.T)
}{
	{"auto: kernel modules after a full compile", startsCached, autoWithGCC},
	{"compile: the packaged SystemTap on this kernel", built, packagedRuntime},
	{"doctor: the packaged SystemTap on this kernel", hasDoctor, doctorPackaged},
	{"doctor: what a host lacks", hasDoctor, doctorLacks},
	{"keepalive: stops and starts", built, keepaliveChurn},
	{"clients: 16 on one script for 20 s", built, manyClients},
	{"life: on demand, one stage", built, onDemandOneStage},
	{"life: on demand, two stages", startsCached, onDemandTwoStage},
	{"life: an executable of stap's own", startsCached, shebangTwoStage},
	{"life: --precompile", precompiles, precompiled},
	{"life: the shipped scripts count real reads", built, shippedScripts},
	{"autostart: exit()", built, autostartExits},
	{"autostart: error() in a probe", built, autostartErrs},
	{"autostart: KILL of stapio", built, func(t *testing.T) { autostartKilled(t, "stapio") }},
	{"autostart: KILL of staprun", built, func(t *testing.T) { autostartKilled(t, "staprun") }},
	{"autostart: KILL of stap", built, func(t *testing.T) { autostartKilled(t, "stap") }},
	{"sweep: others' modules are left alone", built, othersModules},
	{"sweep: what a dead instance left", sweepsAtHome, sweepAtStart},
	{"KILL of the exporter: 5 moments", hasGuardian, exporterKilled},
	{"TERM: while it compiles", built, termCompiling},
	{"TERM: while it loads", built, termLoading},
	{"TERM: while it runs", built, termRunning},
	{"clients: a foreign reader sits on the file", built, foreignReader},
	{"clients: the file is closed before a stop", built, closedBeforeStop},
	{"output: 65,535 bytes", built, fullOutput},
	{"output: 65,536 bytes", built, tooMuchOutput},
	{"output: 65,536 bytes, errors suppressed", built, tornOutput},
	{"output: flood of stdout", built, flood},
	{"output: closed stdout", built, closedStdout},
	{"trouble: probe overload", built, overload},
	{"trouble: MAXERRORS", built, maxErrors},
	{"users: stapdev", built, userStapdev},
	{"users: stapsys", built, userStapsys},
	{"users: stapusr", built, userStapusr},
	{"users: none of the groups", built, userPlain},
	{"host: no headers", built, noHeaders},
	{"host: no gcc", built, noGCC},
	{"host: no CAP_SYS_MODULE", built, noSysModule},
}

// lanes is how many scenarios run at once: most of their time they wait.
const lanes = 3

// TestScenarios runs the scenarios. They begin in the order of the list; parallel tests by themselves would begin in any.
func TestScenarios(t *testing.T) {
	before := kernelLog(t)
	t.Run("all", func(t *testing.T) {
		var turns []chan struct{}
		free := make(chan struct{}, lanes)
		for _, s := range scenarios {
			t.Run(s.name, func(t *testing.T) {
				turn := make(chan struct{})
				turns = append(turns, turn)
				t.Parallel() // the rest when all have come so far
				<-turn
				defer func() { <-free }()
				begun := time.Now()
				t.Cleanup(func() { done(t, begun) })
				if slices.Contains(missing, s.needs) {
					t.Skip("waits for " + s.needs)
				}
				s.run(t)
			})
		}
		go func() {
			for _, turn := range turns {
				free <- struct{}{}
				close(turn)
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

// done tells the host how a scenario ended, at once: the testing package tells it of parallel tests only when all have ended.
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

// complaint is how the kernel begins to tell of a bug.
var complaint = regexp.MustCompile(`WARNING: |BUG: |Oops|general protection|refcount_t|remove_proc_entry|leaking|blocked for more than|soft lockup|rcu.*stall|Call Trace|unregister_.*busy`)

// harmless is what it always says of modules that are built outside of it.
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
