package script

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

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
		"--suppress-h --col --vp 01": {
			Options{Stap: []string{"--suppress-handler-errors", "--color", "--vp=01"}}, "",
		},
		"-mfoo -p5 -vm bar -p 5": {
			Options{Stap: []string{"-v"}, Ignored: []string{"-m foo", "-p 5", "-m bar", "-p 5"}}, "",
		},
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
		"-s 4 -S 1,2 -Ga=b --target-n 7 -T3": {Options{
			Stap:       []string{"-s", "4", "-S", "1,2", "-G", "a=b", "--target-namespaces=7", "-T", "3"},
			Staprun:    []string{"-b", "4", "-S", "1,2", "-N", "7"},
			ModuleArgs: []string{"a=b"},
		}, ""},
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

// The options of args= come after those of the first line, and runtime=
// overrides it.
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

// checkOptions checks what must hold for all Options.
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
			t.Errorf("options of stap include %v", g)
		}
	}
	if !slices.Equal(again, o.Stap) {
		t.Errorf("options of stap parsed again: %q, were %q", again, o.Stap)
	}
	if slices.ContainsFunc(
		slices.Concat(o.Stap, o.Staprun, o.Stapbpf, o.ModuleArgs),
		func(s string) bool { return strings.IndexByte(s, 0) >= 0 },
	) {
		t.Errorf("NUL in %+v", o)
	}
}
