package script

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// option is one option of a stap command line.
type option struct {
	name     string // "-m" or "--runtime", long ones in full
	value    string
	hasValue bool
}

// words returns the option as stap takes it. It cannot be mistaken for part of
// the next word.
func (g option) words() []string {
	switch {
	case !g.hasValue:
		return []string{g.name}
	case strings.HasPrefix(g.name, "--"):
		return []string{g.name + "=" + g.value}
	}
	return []string{g.name, g.value}
}

// String returns the option for messages.
func (g option) String() string { return strings.Join(g.words(), " ") }

// shortOptions are the letters of stap's options; one before ":" takes a value.
// They and longOptions are from cmdline.h and cmdline.cxx of SystemTap's tree
// in 2026, a superset of 4.8's.
const shortOptions = "hVvtp:I:e:E:o:R:r:a:m:kgPc:x:D:bs:uqiwl:d:L:FS:B:J:jWG:T:"

// longOptions are the names of stap's long options. The value: "" takes no
// value, "=" takes one, "?" only when joined with "=".
var longOptions = map[string]string{
	"skip-badvars":            "",
	"vp":                      "=",
	"unprivileged":            "",
	"build-as":                "?",
	"client-options":          "",
	"help":                    "",
	"disable-cache":           "",
	"poison-cache":            "",
	"clean-cache":             "",
	"compatible":              "=",
	"ldd":                     "",
	"use-server":              "?",
	"list-servers":            "?",
	"trust-servers":           "?",
	"use-server-on-error":     "?",
	"use-http-server":         "=",
	"all-modules":             "",
	"sign-module":             "?",
	"remote":                  "=",
	"remote-prefix":           "",
	"check-version":           "",
	"version":                 "",
	"tmpdir":                  "=",
	"download-debuginfo":      "?",
	"dump-probe-types":        "",
	"dump-probe-aliases":      "",
	"dump-functions":          "",
	"privilege":               "=",
	"suppress-handler-errors": "",
	"modinfo":                 "=",
	"rlimit-as":               "=",
	"rlimit-cpu":              "=",
	"rlimit-nproc":            "=",
	"rlimit-stack":            "=",
	"rlimit-fsize":            "=",
	"sysroot":                 "=",
	"sysenv":                  "=",
	"suppress-time-limits":    "",
	"runtime":                 "=",
	"dyninst":                 "",
	"bpf":                     "",
	"benchmark-sdt":           "",
	"benchmark-sdt-loops":     "=",
	"benchmark-sdt-threads":   "=",
	"color":                   "?",
	"colour":                  "?",
	"prologue-searching":      "?",
	"save-uprobes":            "",
	"target-namespaces":       "=",
	"monitor":                 "?",
	"interactive":             "",
	"example":                 "",
	"no-global-var-display":   "",
	"language-server":         "",
	"debug":                   "",
	"semantic-keep-going":     "",
}

// splitOptions parses words as getopt_long does for stap: joined letters,
// values joined or separate, abbreviated long options. An unknown option is
// kept, without a value, for stap to report.
func splitOptions(words []string) ([]option, error) {
	var given []option
	for i := 0; i < len(words); i++ {
		word := words[i]
		next := func(name string) (string, error) {
			if i++; i == len(words) {
				return "", fmt.Errorf("%s: its value is missing", name)
			}
			return words[i], nil
		}
		switch {
		case word == "--":
			return nil, errors.New("-- is not allowed: the words after it would be arguments of the script")
		case word == "-" || !strings.HasPrefix(word, "-"):
			return nil, fmt.Errorf(
				"%q is not an option (a value with blanks needs quotes); "+
					"the exporter names the script, which takes no arguments",
				word,
			)
		case strings.HasPrefix(word, "--"):
			name, value, joined := strings.Cut(word[2:], "=")
			name, err := fullName(name)
			if err != nil {
				return nil, err
			}
			g := option{name: "--" + name, value: value, hasValue: joined}
			if longOptions[name] == "=" && !joined {
				if g.value, err = next(g.name); err != nil {
					return nil, err
				}
				g.hasValue = true
			}
			given = append(given, g)
		default:
			for letters := word[1:]; letters != ""; {
				g := option{name: "-" + letters[:1]}
				if !isLetter(letters[0]) {
					return nil, fmt.Errorf("%q: %q is not an option's letter", word, letters[0])
				}
				letters = letters[1:]
				if strings.Contains(shortOptions, g.name[1:]+":") {
					g.value, g.hasValue = letters, true
					if letters == "" {
						var err error
						if g.value, err = next(g.name); err != nil {
							return nil, err
						}
					}
					letters = ""
				}
				given = append(given, g)
			}
		}
	}
	return given, nil
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' }

// fullName returns the long option that name stands for: itself, or the only
// option that begins with it (both spellings of colour count as one). An
// unknown name is returned unchanged.
func fullName(name string) (string, error) {
	if _, ok := longOptions[name]; ok {
		return name, nil
	}
	var found []string
	for long := range longOptions {
		if strings.HasPrefix(long, name) && long != "colour" {
			found = append(found, long)
		}
	}
	switch len(found) {
	case 0:
		return name, nil
	case 1:
		return found[0], nil
	}
	slices.Sort(found)
	return "", fmt.Errorf("--%s could be any of --%s", name, strings.Join(found, ", --"))
}
