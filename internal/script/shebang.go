package script

import (
	"path"
	"strings"
)

// shebangOfStap reports whether a first line that begins with #! runs the file
// with stap, and returns what follows stap there. These lines do, with stap in
// any directory:
//
//	#!/usr/bin/stap -v --bpf
//	#!/usr/bin/env stap
//	#!/usr/bin/env -S stap -v --bpf
//
// The kernel would pass all options as one argument, which stap refuses when it
// holds more than one; the exporter splits them (see splitWords). Any other
// line is a wrapper's, for the kernel to interpret, and so is env with
// variables or options of its own.
func shebangOfStap(line string) (options string, ok bool) {
	interpreter, rest := cutWord(strings.TrimPrefix(line, "#!"))
	if path.Base(interpreter) == "env" {
		for _, flag := range []string{"-S", "--split-string=", "--split-string "} {
			if after, found := strings.CutPrefix(rest, flag); found {
				rest = after
				break
			}
		}
		interpreter, rest = cutWord(rest)
	}
	return rest, path.Base(interpreter) == "stap"
}

func cutWord(s string) (word, rest string) {
	s = strings.TrimSpace(s)
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i], strings.TrimSpace(s[i:])
	}
	return s, ""
}
