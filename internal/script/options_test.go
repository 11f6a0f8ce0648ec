package script

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestShebang(t *testing.T) {
	list := func(words ...string) []string { return append([]string{}, words...) }
	for line, want := range map[string][]string{ // nil: a wrapper's
		"#!/usr/bin/stap":                                list(),
		"#!/usr/bin/stap -v --bpf\r":                     list("-v", "--bpf"),
		"#! \t/opt/systemtap/bin/stap\t-g  -v":           list("-g", "-v"),
		"#!stap -v":                                      list("-v"),
		"#!/usr/bin/env stap":                            list(),
		"#!/usr/bin/env stap -v":                         list("-v"),
		"#!/usr/bin/env -S stap -v -g":                   list("-v", "-g"),
		"#!/usr/bin/env -Sstap -v":                       list("-v"),
		"#!/usr/bin/env --split-string=/usr/bin/stap -v": list("-v"),
		`#!/usr/bin/stap -c "sleep 5"`:                   list("-c", "sleep 5"),
		"#!/usr/bin/staprun":                             nil,
		"#!/usr/bin/stap.old -v":                         nil,
		"#!/bin/bash":                                    nil,
		"#!/bin/sh /usr/bin/stap":                        nil,
		"#!/usr/bin/env -S A=b stap":                     nil,
		"#!/usr/bin/env -i stap":                         nil,
		"#!/usr/bin/env":                                 nil,
		"#!":                                             nil,
		"# !/usr/bin/stap":                               nil,
		" #!/usr/bin/stap":                               nil,
	} {
		s, err := readHeader(line+"\nprobe begin {}\n", true)
		if err != nil || !reflect.DeepEqual(s.Shebang, want) || s.Executable != (want == nil) {
			t.Errorf("%q: got %q, executable %v, %v", line, s.Shebang, s.Executable, err)
		}
		// Without the right to execute it, the line is a comment.
		if s, err := readHeader(line+"\n", false); err != nil || s.Shebang != nil || s.Executable || s.Runtime != "" {
			t.Errorf("%q, not executable: got %+v, %v", line, s, err)
		}
	}
}

func TestShebangOptions(t *testing.T) {
	for text, want := range map[string]struct {
		Options
		runtime string
	}{
		"":                               {},
		"-v --bpf":                       {Options{Stap: []string{"-v"}}, "bpf"},
		"-gvI/x -DA=1":                   {Options{Stap: []string{"-g", "-v", "-I", "/x", "-D", "A=1"}}, ""},
		"--runtime=bpf --runtime kernel": {Options{}, "kernel"},
		"--run bpf --supp-x":             {Options{Stap: []string{"--supp-x"}}, "bpf"},
		"--suppress-h --col --vp 01":     {Options{Stap: []string{"--suppress-handler-errors", "--color", "--vp=01"}}, ""},
		"-mfoo -p5 -vm bar -p 5":         {Options{Stap: []string{"-v"}, Ignored: []string{"-m foo", "-p 5", "-m bar", "-p 5"}}, ""},
		"-x 12 -w": {Options{
			Stap:    []string{"-x", "12", "-w"},
			Staprun: []string{"-x", "12", "-w"},
			Stapbpf: []string{"-x", "12", "-w"},
			NoReuse: "-x 12",
		}, ""},
		"-c 'a b' -o/x": {Options{
			Stap:    []string{"-c", "a b", "-o", "/x"},
			Staprun: []string{"-c", "a b", "-o", "/x"},
			Stapbpf: []string{"-c", "a b", "-o", "/x"},
			NoReuse: "-c a b",
		}, ""},
		"-s 4 -S 1,2 -Ga=b --target-n 7 -T3": {Options{Stap: []string{"-s", "4", "-S", "1,2", "-G", "a=b", "--target-namespaces=7", "-T", "3"}, Staprun: []string{"-b", "4", "-S", "1,2", "-N", "7"}, ModuleArgs: []string{"a=b"}}, ""},
		"-c -m": {Options{
			Stap:    []string{"-c", "-m"},
			Staprun: []string{"-c", "-m"},
			Stapbpf: []string{"-c", "-m"},
			NoReuse: "-c -m",
		}, ""},
	} {
		s, err := readHeader("#!/usr/bin/stap "+text+"\n", true)
		if err != nil || !reflect.DeepEqual(s.Options, want.Options) || s.Runtime != want.runtime {
			t.Errorf("%s\ngot  %+v %q, %v\nwant %+v %q", text, s.Options, s.Runtime, err, want.Options, want.runtime)
		}
	}
	for text, want := range map[string]string{
		"-p4":               "first line: -p 4: only pass 5 runs the script",
		"-vp 1":             "-p 1: only pass 5",
		"--runtime=dyninst": "want kernel or bpf",
		"--dyninst":         "--dyninst is not allowed",
		"-F -o x":           "-F is not allowed",
		"other.stp":         `"other.stp" is not an option`,
		"-g-":               `"-g-": '-' is not`,
		"-g '":              "first line: a quote is not closed",
	} {
		_, err := readHeader("#!/usr/bin/stap "+text+"\n", true)
		if got := fmt.Sprint(err); !strings.Contains(got, "/s/a.stp:1: ") || !strings.Contains(got, want) {
			t.Errorf("%s: got %s", text, got)
		}
	}
}

// The header's own options come after those of the first line, and its runtime
// wins.
func TestShebangAndArgs(t *testing.T) {
	s, err := readHeader("#!/usr/bin/stap --bpf -v -w\n// stap-exporter: runtime=kernel args=\"-g -x 3\"\n", true)
	want := Options{
		Stap:    []string{"-v", "-w", "-g", "-x", "3"},
		Staprun: []string{"-w", "-x", "3"},
		Stapbpf: []string{"-w", "-x", "3"},
		NoReuse: "-x 3",
	}
	if err != nil || s.Runtime != "kernel" || !reflect.DeepEqual(s.Options, want) ||
		!slices.Equal(s.Shebang, []string{"--bpf", "-v", "-w"}) {
		t.Errorf("got %+v, %v", s, err)
	}
}

// checkOptions says what holds for all Options, whatever they were made from.
func checkOptions(t *testing.T, o Options) {
	t.Helper()
	given, err := splitOptions(o.Stap)
	if err != nil {
		t.Fatalf("options of stap %q: %v", o.Stap, err)
	}
	var again []string
	for _, g := range given {
		again = append(again, g.words()...)
		if slices.Contains([]string{"-m", "-p", "--bpf", "--runtime", "--dyninst", "-F", "-e"}, g.name) {
			t.Errorf("options of stap hold %v", g)
		}
	}
	if !slices.Equal(again, o.Stap) {
		t.Errorf("options of stap read again: %q, were %q", again, o.Stap)
	}
	if slices.ContainsFunc(
		slices.Concat(o.Stap, o.Staprun, o.Stapbpf, o.ModuleArgs),
		func(s string) bool { return strings.IndexByte(s, 0) >= 0 },
	) {
		t.Errorf("a NUL in %+v", o)
	}
}
