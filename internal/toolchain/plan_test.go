package toolchain

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"stap-exporter/internal/script"
)

func TestPlan(t *testing.T) {
	plain := script.Script{Path: "/s/a b.stp", Module: "m1"}
	executable := script.Script{Path: "/s/w.stp", Module: "m1", Executable: true}
	bare := Tools{Stap: "/b/stap", Staprun: "/b/staprun", Stapbpf: "/b/stapbpf"}
	full := bare
	full.Launcher = []string{"/x/exporter", "hidden"}
	withRuntime := bare
	withRuntime.RuntimeDir = "/rt"
	withOptions := plain
	withOptions.Options = script.Options{
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
		want    []string // "stage: arguments", separated by "|"
		direct  bool
	}{
		{
			name:    "executable",
			tools:   full,
			script:  executable,
			runtime: Kernel,
			want:    []string{"start: /x/exporter|hidden|leave-sigpipe|/s/w.stp|-m|m1"},
		},
		{
			name:    "executable, bpf tree",
			tools:   full,
			script:  executable,
			runtime: BPF,
			tree:    "/t",
			want:    []string{"start: /x/exporter|hidden|leave-sigpipe|/s/w.stp|-m|m1"},
		},
		{
			name:    "executable, no launcher",
			tools:   bare,
			script:  executable,
			runtime: BPF,
			want:    []string{"start: /s/w.stp|-m|m1"},
		},
		{
			name:    "kernel",
			tools:   full,
			script:  plain,
			runtime: Kernel,
			want: []string{
				"compile: /b/stap|-v|-p4|-m|m1|/s/a b.stp",
				"load: /b/staprun|m1.ko",
			},
		},
		{
			name:    "kernel, options",
			tools:   withRuntime,
			script:  withOptions,
			runtime: Kernel,
			want: []string{
				"compile: /b/stap|-v|-p4|-m|m1|-R|/rt|-g|-s|4|-G|a=b|/s/a b.stp",
				"load: /b/staprun|-b|4|m1.ko|a=b",
			},
		},
		{
			name:    "bpf, options",
			tools:   bare,
			script:  withOptions,
			runtime: BPF,
			want: []string{
				"compile: /b/stap|-v|--bpf|-p4|-m|m1|-g|-s|4|-G|a=b|/s/a b.stp",
				"load: /b/stapbpf|-w|m1.bo",
			},
		},
		{
			name:    "bpf",
			tools:   full,
			script:  plain,
			runtime: BPF,
			want: []string{
				"compile: /b/stap|-v|--bpf|-p4|-m|m1|/s/a b.stp",
				"load: /x/exporter|hidden|ignore-sigpipe|/b/stapbpf|m1.bo",
			},
			direct: true,
		},
		{
			name:    "bpf, tree",
			tools:   full,
			script:  plain,
			runtime: BPF,
			tree:    "/t",
			want: []string{
				"compile: /b/stap|-v|--bpf|-p4|-m|m1|-r|/t|/s/a b.stp",
				"load: /x/exporter|hidden|ignore-sigpipe|/b/stapbpf|m1.bo",
			},
			direct: true,
		},
		{
			name:    "bpf, no launcher",
			tools:   bare,
			script:  plain,
			runtime: BPF,
			want: []string{
				"compile: /b/stap|-v|--bpf|-p4|-m|m1|/s/a b.stp",
				"load: /b/stapbpf|m1.bo",
			},
		},
	} {
		p, err := c.tools.Plan(c.script, c.runtime, c.tree)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		var got []string
		for i, st := range p.Steps {
			got = append(got, string(st.Stage)+": "+strings.Join(st.Argv, "|"))
			if st.Offers != (i == len(p.Steps)-1) {
				t.Errorf("%s: step %d offers the procfs file: %v", c.name, i, st.Offers)
			}
		}
		if !slices.Equal(got, c.want) || p.Direct != c.direct {
			t.Errorf("%s:\n got %q, direct %v\nwant %q, direct %v", c.name, got, p.Direct, c.want, c.direct)
		}
	}
	for _, r := range []Runtime{Kernel, BPF} {
		if _, err := (Tools{Stap: "/b/stap"}).Plan(plain, r, ""); !errors.Is(err, ErrNoStap) {
			t.Errorf("%v without the executable that loads its modules: %v", r, err)
		}
	}
}
