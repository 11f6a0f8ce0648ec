package script

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Options are what a script asks of stap beyond what the exporter gives it,
// from the first line and from args=, in this order, ready for each of the
// three programs. They never hold -m, -p or a runtime: those are the
// exporter's. Every option is a word of its own ("-gvI/x" has become "-g",
// "-v", "-I", "/x"), and so is its value.
type Options struct {
	// for stap, whether it compiles only (-p4) or does everything; the run-time
	// options are among them, since -c and -x tell stap which program a bare
	// "process" probes
	Stap []string
	// for staprun, before the module: stap's run-time options in staprun's
	// spelling
	Staprun    []string
	ModuleArgs []string // for staprun, after the module: the VAR=VALUE of -G
	Stapbpf    []string // for stapbpf, before the .bo file; it knows -c, -x, -o and -w alone
	// when not empty, a compiled module is good for this start only, for what
	// it names ("-c CMD", "-x PID"): which program is probed is not in the
	// script
	NoReuse string
	// what stood there and has no effect, for a warning: -m NAME (the exporter
	// names the module) and -p5 (which is what runs anyway)
	Ignored []string
}

// join returns the options of o followed by those of p.
func (o Options) join(p Options) Options {
	o.Stap = slices.Concat(o.Stap, p.Stap)
	o.Staprun = slices.Concat(o.Staprun, p.Staprun)
	o.ModuleArgs = slices.Concat(o.ModuleArgs, p.ModuleArgs)
	o.Stapbpf = slices.Concat(o.Stapbpf, p.Stapbpf)
	o.Ignored = slices.Concat(o.Ignored, p.Ignored)
	if o.NoReuse == "" {
		o.NoReuse = p.NoReuse
	}
	return o
}

// shebangOptions sorts the options of a first line. runtime is "kernel", "bpf"
// or empty.
func shebangOptions(words []string) (o Options, runtime string, err error) {
	given, err := splitOptions(words)
	if err != nil {
		return Options{}, "", err
	}
	for _, g := range given {
		switch g.name {
		case "-m":
			o.Ignored = append(o.Ignored, g.String())
		case "-p":
			if strings.TrimSpace(g.value) != "5" {
				return Options{}, "", fmt.Errorf("%v: only pass 5 runs the script", g)
			}
			o.Ignored = append(o.Ignored, g.String())
		case "--bpf":
			runtime = "bpf"
		case "--runtime":
			if g.value != "bpf" && g.value != "kernel" {
				return Options{}, "", fmt.Errorf("%v: want kernel or bpf", g)
			}
			runtime = g.value
		default:
			if err := o.add(g); err != nil {
				return Options{}, "", err
			}
		}
	}
	return o, runtime, nil
}

// argsOptions sorts the options of args=.
func argsOptions(words []string) (o Options, err error) {
	given, err := splitOptions(words)
	if err != nil {
		return Options{}, err
	}
	for _, g := range given {
		switch g.name {
		case "-m", "-p", "-o":
			return Options{}, fmt.Errorf(
				"%v is not allowed: the exporter names the module, runs all passes and reads the output",
				g,
			)
		case "--bpf", "--runtime":
			return Options{}, fmt.Errorf("%v is not allowed: write runtime=bpf, kernel or auto", g)
		}
		if err := o.add(g); err != nil {
			return Options{}, err
		}
	}
	return o, nil
}

// unfit are options after which stap runs no script, or no script that the
// exporter could serve and stop.
var unfit = map[string]string{
	"-e":                   "the script is the file",
	"--example":            "the script is the file",
	"-l":                   "it only lists probes",
	"-L":                   "it only lists probes",
	"--dump-probe-types":   "it only lists",
	"--dump-probe-aliases": "it only lists",
	"--dump-functions":     "it only lists",
	"-h":                   "it runs no script",
	"--help":               "it runs no script",
	"-V":                   "it runs no script",
	"--version":            "it runs no script",
	"--list-servers":       "it runs no script",
	"--trust-servers":      "it runs no script",
	"--benchmark-sdt":      "it runs no script",
	"-i":                   "it wants a terminal",
	"--interactive":        "it wants a terminal",
	"--monitor":            "it wants a terminal",
	"-F":                   "the script would run on in the background, where the exporter cannot stop it",
	"--remote":             "the script would run on another host",
	"--client-options":     "it is for compile servers",
	"--language-server":    "it runs no script",
	"--dyninst":            "this runtime offers no metrics",
}

// add sorts one option. How stap itself hands the run-time ones on:
// make_kernel_run_command and make_bpf_run_command in buildrun.cxx (4.8 and 5.5
// read). -v and --color stay with stap: the exporter has its own -v, and reads
// the output without colours. -T is compiled in.
func (o *Options) add(g option) error {
	if why, ok := unfit[g.name]; ok {
		return fmt.Errorf("%v is not allowed: %s", g, why)
	}
	o.Stap = append(o.Stap, g.words()...)
	switch g.name {
	case "-c", "-x":
		o.NoReuse = g.String()
		fallthrough
	case "-o":
		o.Staprun = append(o.Staprun, g.name, g.value)
		o.Stapbpf = append(o.Stapbpf, g.name, g.value)
	case "-w":
		o.Staprun = append(o.Staprun, "-w")
		o.Stapbpf = append(o.Stapbpf, "-w")
	case "-s":
		o.Staprun = append(o.Staprun, "-b", g.value)
	case "-S":
		o.Staprun = append(o.Staprun, "-S", g.value)
	case "--target-namespaces":
		o.Staprun = append(o.Staprun, "-N", g.value)
	case "-G":
		o.ModuleArgs = append(o.ModuleArgs, g.value)
	}
	return nil
}

// option is one option of a stap command line.
type option struct {
	name     string // "-m" or "--runtime", long ones in full
	value    string
	hasValue bool
}

// words are the option as stap takes it, safe to stand before any other word.
func (g option) words() []string {
	switch {
	case !g.hasValue:
		return []string{g.name}
	case strings.HasPrefix(g.name, "--"):
		return []string{g.name + "=" + g.value}
	}
	return []string{g.name, g.value}
}

// String is the option as a person would write it.
func (g option) String() string { return strings.Join(g.words(), " ") }

// stap's options, from cmdline.h and cmdline.cxx of its current tree: a
// superset of 4.8's. A letter before ":" takes a value.
const shortOptions = "hVvtp:I:e:E:o:R:r:a:m:kgPc:x:D:bs:uqiwl:d:L:FS:B:J:jWG:T:"

// longOptions by whether they take a value: "" no, "=" yes, "?" only when
// joined with "=".
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

// splitOptions takes words apart as getopt_long does for stap: letters that
// stand together, values joined or apart, long options cut short. What stap of
// the tree above does not know is passed on as an option without a value; stap
// says what it thinks of it.
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
			return nil, errors.New("-- is not allowed: all that follows would be taken for arguments of the script")
		case word == "-" || !strings.HasPrefix(word, "-"):
			return nil, fmt.Errorf(
				"%q is not an option (a value with blanks takes quotes): the exporter names the script, and gives it no arguments",
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

// fullName returns the long option that name means: itself, or the only one
// that begins with it. The two spellings of colour are one. An unknown name is
// returned as it is.
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
