package script

import (
	"fmt"
	"slices"
	"strings"
)

// Options are the options for stap that a script requests, from the first line
// and from args=, in this order, in the form for each of the three programs.
// They never include -m, -p or a runtime, which the exporter sets. Every option
// is a word of its own ("-gvI/x" has become "-g", "-v", "-I", "/x"), and so is
// its value.
type Options struct {
	// Stap is for stap, both to compile only (-p4) and to run. It includes the
	// run-time options, since -c and -x tell stap which program a bare
	// "process" probes.
	Stap []string
	// Staprun is for staprun, before the module: the run-time options, as
	// staprun spells them.
	Staprun    []string
	ModuleArgs []string // for staprun, after the module: the VAR=VALUE of -G
	Stapbpf    []string // for stapbpf, before the .bo file; it has only -c, -x, -o and -w
	// NoReuse, when not empty, is the option ("-c CMD", "-x PID") that makes a
	// compiled module valid for one start only: the probed program depends on
	// it, not on the script.
	NoReuse string
	// Ignored are options without effect, for a warning: -m NAME (the exporter
	// names the module) and -p5 (the default).
	Ignored []string
}

// rejected are the options with which stap runs no script, or none that the
// exporter could serve and stop, with the reason.
var rejected = map[string]string{
	"-e":                   "the file is the script",
	"--example":            "the file is the script",
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
	"-i":                   "it needs a terminal",
	"--interactive":        "it needs a terminal",
	"--monitor":            "it needs a terminal",
	"-F":                   "the script would run on in the background, where the exporter cannot stop it",
	"--remote":             "the script would run on another host",
	"--client-options":     "it is for compile servers",
	"--language-server":    "it runs no script",
	"--dyninst":            "this runtime cannot provide metrics",
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

// shebangOptions returns the options of a first line. runtime is "kernel",
// "bpf" or empty.
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

// argsOptions returns the options of args=.
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

// add adds one option to the lists of the programs that take it. Source:
// make_kernel_run_command and make_bpf_run_command in buildrun.cxx of SystemTap
// 4.8 and 5.5, where stap passes run-time options on. -v and --color are for
// stap alone: the exporter has a -v of its own, and reads output without
// colours. -T is compiled in.
func (o *Options) add(g option) error {
	if reason, ok := rejected[g.name]; ok {
		return fmt.Errorf("%v is not allowed: %s", g, reason)
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
