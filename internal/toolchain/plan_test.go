package toolchain

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"stap-exporter/internal/script"
)

func TestCommands(t *testing.T) {
	plain := script.Script{Path: "/s/a b.stp", Module: "m1"}
	executable := script.Script{Path: "/s/w.stp", Module: "m1", Executable: true}
	bare := Tools{Stap: "/b/stap", Staprun: "/b/staprun", Stapbpf: "/b/stapbpf"}
	full := bare
	full.Launcher = []string{"/x/exporter", "hidden"}
	runtimed := bare
	runtimed.RuntimeDir = "/rt"
	asked := plain
	asked.Options = script.Options{
		Stap:       []string{"-g", "-s", "4", "-G", "a=b"},
		Staprun:    []string{"-b", "4"},
		ModuleArgs: []string{"a=b"},
		Stapbpf:    []string{"-w"},
	}
	for _, c := range []struct {
		name    string
		tools   Tools
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
		p, err := c.tools.Plan(c.script, c.runtime, c.tree)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		var stages []string
		for i, st := range p.Steps {
			stages = append(stages, string(st.Stage)+": "+strings.Join(st.Argv, "|"))
			if st.Offers != (i == len(p.Steps)-1) {
				t.Errorf("%s: stage %d offers the file: %v", c.name, i, st.Offers)
			}
		}
		if got := strings.Join(stages, "; "); got != c.want || p.Direct != c.direct {
			t.Errorf("%s:\n got %s, direct %v\nwant %s, direct %v", c.name, got, p.Direct, c.want, c.direct)
		}
	}
	for _, r := range []Runtime{Kernel, BPF} {
		if _, err := (Tools{Stap: "/b/stap"}).Plan(plain, r, ""); !errors.Is(err, ErrNoStap) {
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
