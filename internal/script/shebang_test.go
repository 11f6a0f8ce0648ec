package script

import (
	"reflect"
	"testing"
)

func TestShebang(t *testing.T) {
	list := func(words ...string) []string { return append([]string{}, words...) }
	for line, want := range map[string][]string{ // nil: not a line of stap
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
		// In a file that is not executable the line is a comment.
		if s, err := readHeader(line+"\n", false); err != nil || s.Shebang != nil || s.Executable || s.Runtime != "" {
			t.Errorf("%q, not executable: got %+v, %v", line, s, err)
		}
	}
}
