package stap

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stap-exporter/internal/script"
	"stap-exporter/internal/staptest"
)

func TestCommands(t *testing.T) {
	plain := script.Script{Path: "/s/a b.stp", Module: "m1"}
	executable := script.Script{Path: "/s/w.stp", Module: "m1", Executable: true}
	bare := tools{stap: "/b/stap", staprun: "/b/staprun", stapbpf: "/b/stapbpf"}
	full := bare
	full.launcher = []string{"/x/exporter", "hidden"}
	runtimed := bare
	runtimed.runtime = "/rt"
	asked := plain
	asked.Options = script.Options{
		Stap:       []string{"-g", "-s", "4", "-G", "a=b"},
		Staprun:    []string{"-b", "4"},
		ModuleArgs: []string{"a=b"},
		Stapbpf:    []string{"-w"},
	}
	for _, c := range []struct {
		name    string
		tools   tools
		script  script.Script
		runtime Runtime
		tree    string
		want    string // stages separated by ";", arguments by "|"
		direct  bool
	}{
		{"executable", full, executable, Kernel, "", "start: /x/exporter|hidden|leave-sigpipe|/s/w.stp|-m|m1", false},
		{"executable, bpf tree", full, executable, BPF, "/t", "start: /x/exporter|hidden|leave-sigpipe|/s/w.stp|-m|m1", false},
		{"executable, no launcher", bare, executable, BPF, "", "start: /s/w.stp|-m|m1", false},
		{"kernel", full, plain, Kernel, "", "compile: /b/stap|-v|-p4|-m|m1|/s/a b.stp; load: /b/staprun|m1.ko", false},
		{"kernel, options", runtimed, asked, Kernel, "", "compile: /b/stap|-v|-p4|-m|m1|-R|/rt|-g|-s|4|-G|a=b|/s/a b.stp; load: /b/staprun|-b|4|m1.ko|a=b", false},
		{"bpf, options", bare, asked, BPF, "", "compile: /b/stap|-v|--bpf|-p4|-m|m1|-g|-s|4|-G|a=b|/s/a b.stp; load: /b/stapbpf|-w|m1.bo", false},
		{"bpf", full, plain, BPF, "", "compile: /b/stap|-v|--bpf|-p4|-m|m1|/s/a b.stp; load: /x/exporter|hidden|ignore-sigpipe|/b/stapbpf|m1.bo", true},
		{"bpf, tree", full, plain, BPF, "/t", "compile: /b/stap|-v|--bpf|-p4|-m|m1|-r|/t|/s/a b.stp; load: /x/exporter|hidden|ignore-sigpipe|/b/stapbpf|m1.bo", true},
		{"bpf, no launcher", bare, plain, BPF, "", "compile: /b/stap|-v|--bpf|-p4|-m|m1|/s/a b.stp; load: /b/stapbpf|m1.bo", false},
	} {
		p, err := commands(c.tools, c.script, c.runtime, c.tree)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		var stages []string
		for i, st := range p.stages {
			stages = append(stages, string(st.name)+": "+strings.Join(st.argv, "|"))
			if st.offers != (i == len(p.stages)-1) {
				t.Errorf("%s: stage %d offers the file: %v", c.name, i, st.offers)
			}
		}
		if got := strings.Join(stages, "; "); got != c.want || p.direct != c.direct {
			t.Errorf("%s:\n got %s, direct %v\nwant %s, direct %v", c.name, got, p.direct, c.want, c.direct)
		}
	}
	for _, r := range []Runtime{Kernel, BPF} {
		if _, err := commands(tools{stap: "/b/stap"}, plain, r, ""); !errors.Is(err, ErrNoStap) {
			t.Errorf("without the program that loads it, the error is %v", err)
		}
	}
}

func TestEnvironment(t *testing.T) {
	base := []string{"PATH=/bin", "LC_ALL=de_DE.UTF-8", "LANGUAGE=de", "TMPDIR=/x", "HOME=/root"}
	got := environment(base, "/w/tmp", "/t")
	if want := []string{
		"PATH=/bin",
		"HOME=/root",
		"LC_ALL=C.UTF-8",
		"TMPDIR=/w/tmp",
		"SYSTEMTAP_RELEASE=/t",
	}; !slices.Equal(
		got,
		want,
	) {
		t.Errorf("got %q, want %q", got, want)
	}
	got = environment([]string{"SYSTEMTAP_RELEASE=mine"}, "/w/tmp", "/t")
	if want := []string{"SYSTEMTAP_RELEASE=mine", "LC_ALL=C.UTF-8", "TMPDIR=/w/tmp"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestParsePass(t *testing.T) {
	for line, want := range map[string]int{
		"Pass 1: parsed user script and 69 library scripts using 26548virt kb, in 20usr/20sys/39real ms.": 2,
		"Pass 3: pass skipped for stapbpf runtime in 0usr/0sys/0real ms.":                                 4,
		`Pass 4: compiled C into "m.ko" in 1usr/2sys/3real ms.`:                                           5,
		`Pass 4: using cached /root/.systemtap/cache/x.ko`:                                                5,
		"Pass 5: starting run.":                           passLoad,
		"Pass 5: run completed in 10usr/20sys/30real ms.": 0,
		"Pass 2: analysis failed.  [man error::pass2]":    0,
		"Pass 9: x":           0,
		"Pass":                0,
		"Pass 1":              0,
		"":                    0,
		"WARNING: Pass 1: no": 0,
	} {
		if got := parsePass(line); got != want {
			t.Errorf("parsePass(%q) is %d, want %d", line, got, want)
		}
	}
}

func TestOutputKeepsTheEndAndFollowsPasses(t *testing.T) {
	o := newOutput(nil)
	for i := range 20000 {
		_, _ = o.Write(fmt.Appendf(nil, "line %d\n", i))
	}
	_, _ = o.Write([]byte("Pass 1: par"))
	if o.progress() != 0 {
		t.Error("half a line was read")
	}
	_, _ = o.Write([]byte("sed\nrest"))
	if o.progress() != 2 {
		t.Error("a line in two parts was not read")
	}
	text, before := o.text()
	if len(text) > keepOutput || len(text) < keepOutput-20 {
		t.Errorf("%d bytes are kept", len(text))
	}
	if first := fmt.Sprintf("line %d\n", before); !strings.HasPrefix(text, first) {
		t.Errorf("it begins %q, but %d lines came before", text[:20], before)
	}
	if !strings.HasSuffix(text, "line 19999\nPass 1: parsed\nrest") {
		t.Errorf("it ends %q", text[len(text)-40:])
	}
	_, _ = o.Write([]byte(strings.Repeat("y", 5*keepOutput)))
	if text, _ := o.text(); len(text) > keepOutput || cap(o.kept) > 8*keepOutput {
		t.Errorf("%d bytes are kept in %d", len(text), cap(o.kept))
	}
}

func TestUsefulTail(t *testing.T) {
	var long []string
	for i := range 50 {
		long = append(long, fmt.Sprintf("chatter %d", i))
	}
	chatter := strings.Join(long, "\n")
	for _, c := range []struct {
		name, text string
		before     int
		want       []string
	}{
		{"nothing", "", 0, []string{}},
		{"only noise", "Pass 1: parsed user script\nTip: x\n", 0, []string{}},
		{"short", "a\nb\n", 0, []string{"a", "b"}},
		{"colours, control characters, bytes", "\x1b[31mERROR: \x1b[0mx\a\ty\xff\r\n", 0, []string{"ERROR: x    y�"}},
		{
			"parse error", "WARNING: Kernel function symbol table missing [man warning::symbols]\nparse error: expected literal\n        saw: operator\n     source: probe\n             ^\n\n1 parse error.\nPass 1: parse failed.  [man error::pass1]\nTip: x\n",
			0,
			[]string{"parse error: expected literal", "        saw: operator", "     source: probe", "             ^", "1 parse error.", "Pass 1: parse failed.  [man error::pass1]", "(2 more lines left out)"},
		},
		{
			"an error in chatter", chatter + "\nERROR: boo\n  at x\n" + chatter, 7,
			append(append([]string{"ERROR: boo", "  at x"}, long[40:]...), "(97 more lines left out)"),
		},
		{"a long line", strings.Repeat("x", 500), 0, []string{strings.Repeat("x", tailWidth) + "…"}},
	} {
		if got := usefulTail(c.text, c.before); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, c.want)
		}
	}
}

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
		if got := findMend(text); !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestParseRuntime(t *testing.T) {
	for _, r := range []Runtime{Auto, Kernel, BPF} {
		if got, err := ParseRuntime(r.String()); got != r || err != nil {
			t.Errorf("%s: %s (%v)", r, got, err)
		}
	}
	if _, err := ParseRuntime("dyninst"); err == nil {
		t.Error("dyninst is taken")
	}
}

func TestRemoveProbes(t *testing.T) {
	dir := t.TempDir()
	for list, c := range map[string]struct{ before, removed string }{
		"uprobe_events": {
			"p:uprobes/stapprobe_77_0 /lib/libc.so.6:0x1\np:uprobes/stapprobe_7_0 /lib/libc.so.6:0x1\nr:uprobes/stapprobe_8_13 /x:0x2\np:uprobes/mine /x:0x3\np:mine/p7_0 /x:0x4\n",
			"-:uprobes/stapprobe_7_0\n-:uprobes/stapprobe_8_13\n",
		},
		"kprobe_events": {
			"p:kprobes/p77_0 vfs_read\np:kprobes/p7_0 vfs_read\nr2:kprobes/p8_13 vfs_write\np:kprobes/p_vfs_read_0 vfs_read\np:mine/p7_0 x\n",
			"-:kprobes/p7_0\n-:kprobes/p8_13\n",
		},
	} {
		path := filepath.Join(dir, list)
		staptest.WriteFile(t, path, c.before)
		if left := (&Cleaner{Tracing: dir}).RemoveProbes([]int{7, 8}, staptest.Patience); len(left) > 0 {
			t.Errorf("%s: left: %q", list, left)
		}
		if got, _ := os.ReadFile(path); string(got) != c.before+c.removed {
			t.Errorf("%s got %q, want %q", list, got, c.before+c.removed)
		}
	}
}

// A script that prints without end and then dies: what killed it is not pushed
// out by what it printed.
func TestOutputKeepsTheReason(t *testing.T) {
	o := newOutput(nil)
	_, _ = o.Write([]byte("one\nERROR: probe overhead exceeded threshold\n"))
	for range 2000 {
		_, _ = o.Write([]byte(strings.Repeat("flood ", 20) + "\n"))
	}
	text, before := o.text()
	if !strings.HasPrefix(text, "ERROR: probe overhead exceeded threshold\nflood ") {
		t.Errorf("text begins %q", text[:80])
	}
	if all := before + strings.Count(text, "\n"); all != 2002 {
		t.Errorf("%d lines in all", all)
	}
	if mend := findMend(text); !strings.Contains(mend, "half of a processor") {
		t.Errorf("mend %q", mend)
	}
}
