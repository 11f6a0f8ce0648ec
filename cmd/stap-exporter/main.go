// Command stap-exporter runs a folder of SystemTap scripts and makes each a Prometheus target.
// Here are flags, wiring, signals and exit codes, nothing else.
package main

import (
	"fmt"
	"io"
	"os"

	"stap-exporter/internal/stap"
)

// version is set by the linker, see Makefile.
var version = "unknown"

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1 // it could not start, or something is left of a script
	exitUsage   = 2 // a flag or its value is wrong
)

// First arguments that make this program something else. Not for people.
const (
	launchArg = "__launch" // the launcher of a child process: set up what has to be set up in the child, then exec it
	guardArg  = "__guard"  // the guardian, which cleans up after an exporter that was killed; the flags of the log follow
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == launchArg {
		err := stap.Launch(args[1:])
		fmt.Fprintf(stderr, "stap-exporter: %v\n", err)
		return exitFailure
	}
	guarding := len(args) > 0 && args[0] == guardArg
	if guarding {
		args = args[1:]
	}
	opts, done, err := parseFlags(args, stdout)
	if err != nil {
		fmt.Fprintf(stderr, "stap-exporter: %v (--help lists the flags)\n", err)
		return exitUsage
	}
	if done {
		return exitOK
	}
	if guarding {
		if err := stap.Guard(newLogger(opts, stderr)); err != nil {
			return exitFailure // it is in the log
		}
		return exitOK
	}
	switch opts.command {
	case "check":
		err = check(opts, stdout)
	case "doctor":
		err = doctor(opts, stdout)
	default:
		err = serve(opts, stderr)
	}
	if err != nil {
		fmt.Fprintf(stderr, "stap-exporter: %v\n", err)
		return exitFailure
	}
	return exitOK
}
