package script

import (
	"path"
	"strings"
)

// shebangStap tells whether a first line that begins with #! hands the file to
// stap, and returns what follows the name there. These do, for any folder:
//
//	#!/usr/bin/stap -v --bpf
//	#!/usr/bin/env stap
//	#!/usr/bin/env -S stap -v --bpf
//
// The kernel would hand over all options as one argument, which stap refuses
// when they are more than one; the exporter splits them (see splitWords). Every
// other line, env with variables or options of its own among them, is a
// wrapper's, for the kernel to judge.
func shebangStap(line string) (options string, ok bool) {
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
