package stapout

import (
	"strings"
	"testing"
)

func TestMends(t *testing.T) {
	for text, want := range map[string]string{
		"stp_task_work.c:42: error: implicit declaration of function 'task_work_cancel'":                            "newer SystemTap",
		`Checking "/lib/modules/6.1.0/build/.config" failed with error: No such file or directory`:                  "headers",
		"semantic error: missing x86_64 kernel/module debuginfo [man warning::debuginfo] under '/lib'":              "debuginfo",
		"ERROR: buffer size exceeded, consider increasing":                                                          "65,535 bytes",
		"ERROR: Couldn't insert module '/w/m.ko': File exists":                                                      "there already",
		"ERROR: Couldn't insert module '/w/m.ko': Operation not permitted":                                          "CAP_SYS_MODULE",
		"run /usr/bin/staprun: permission denied":                                                                   "stapdev",
		`ERROR: Members of the "stapusr" and "stapsys" groups can only use unsigned modules within`:                 "stapdev",
		"ERROR: probe overhead (1095979300 cycles) exceeded threshold (500000000 cycles) in last 1000000000 cycles": "half of a processor",
		"ERROR: Skipped too many probes, check MAXSKIPPED or try again with stap -t for more details.":              "MAXSKIPPED",
		"WARNING: Number of errors: 4, skipped probes: 0":                                                           "suppress-handler-errors",
		"ERROR: Couldn't insert module '/w/m.ko': Key was rejected by service":                                      "signed modules",
		"Error loading hh1: could not increase map resource limit -- cur from 8388608: Operation not permitted":     "memory-lock",
		"launch /s/x.stp: exec format error":                                                                        "#! line",
		"all is well":                                                                                               "",
	} {
		if got := FindRemedy(text); !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
