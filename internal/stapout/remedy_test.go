package stapout

import (
	"strings"
	"testing"
)

func TestFindRemedy(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range []struct {
		text string
		want string // a part of the remedy
	}{
		{"write /w/m.c: no space left on device", "the disk is full"},
		{"open /proc/1/stat: too many open files", "LimitNOFILE="},
		{"fork/exec /usr/bin/stap: resource temporarily unavailable", "TasksMax="},
		{"stp_task_work.c:42: error: implicit declaration of function 'task_work_cancel'", "newer SystemTap"},
		{`Checking "/lib/modules/6.1.0/build/.config" failed with error: No such file or directory`, "headers"},
		{"semantic error: missing x86_64 kernel/module debuginfo [man warning::debuginfo] under '/lib'", "debuginfo"},
		{"ERROR: buffer size exceeded, consider increasing", "65,535 bytes"},
		{"Error creating probe 3: File exists", "try again"},
		{"ERROR: Couldn't insert module '/w/m.ko': File exists", "exists already"},
		{"ERROR: Couldn't insert module '/w/m.ko': Key was rejected by service", "signed modules"},
		{"run /usr/bin/stapbpf: permission denied", "as root"},
		{"run /usr/bin/staprun: permission denied", "stapdev"},
		{`ERROR: Members of the "stapusr" and "stapsys" groups can only use unsigned modules within`, "stapdev"},
		{"ERROR: Couldn't insert module '/w/m.ko': Operation not permitted", "CAP_SYS_MODULE"},
		{"ERROR: Skipped too many probes, check MAXSKIPPED or try again with stap -t for more details.", "MAXSKIPPED"},
		{"ERROR: probe overhead (1095 cycles) exceeded threshold (500 cycles) in last 1000 cycles", "half of a CPU"},
		{"WARNING: Number of errors: 4, skipped probes: 0", "suppress-handler-errors"},
		{"Error loading hh1: could not increase map resource limit: Operation not permitted", "memory-lock"},
		{"Error opening probe id: No such file or directory", "mount debugfs"},
		{"sh: 1: gcc: not found", "gcc and make"},
		{"launch /s/x.stp: exec format error", "#! line"},
		{"You must be root to run this", "CAP_SYS_ADMIN"},
	} {
		got := FindRemedy(c.text)
		seen[got] = true
		if !strings.Contains(got, c.want) {
			t.Errorf("remedy of %q is %q, want %q in it", c.text, got, c.want)
		}
	}
	for _, f := range failures {
		if !seen[f.remedy] {
			t.Errorf("no text of this test matches %q", f.match)
		}
	}
	if got := FindRemedy("all is well"); got != "" {
		t.Errorf("an unknown text has the remedy %q", got)
	}
}

// Each remedy names the cause first and then what to do.
func TestRemedyForm(t *testing.T) {
	for _, f := range failures {
		if cause, action, ok := strings.Cut(f.remedy, ": "); !ok || cause == "" || action == "" {
			t.Errorf("remedy of %q is %q, want \"cause: action\"", f.match, f.remedy)
		}
	}
}

func TestProbeTaken(t *testing.T) {
	if !ProbeTaken([]string{"WARNING: x", "Error creating probe 3: File exists"}) {
		t.Error("a taken probe is not recognized")
	}
	if ProbeTaken([]string{"ERROR: Couldn't insert module '/w/m.ko': File exists"}) {
		t.Error("an existing module counts as a taken probe")
	}
}
