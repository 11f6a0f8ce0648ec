// Command stap-exporter runs a folder of SystemTap scripts and makes each a
// Prometheus target.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"stap-exporter/internal/app"
	"stap-exporter/internal/stap"
)

// version is set by the linker, see Makefile.
var version = "unknown"

// Exit codes. The last two are those of sysexits.h: another start changes
// nothing, and the systemd unit does not try one. No code of this program is 2,
// with which Go ends a process that panics or gets a SIGQUIT.
const (
	exitOK      = 0
	exitFailure = 1  // it could not start, or something is left of a script
	exitUsage   = 64 // EX_USAGE: an unknown flag or argument, a value that cannot be parsed
	exitConfig  = 78 // EX_CONFIG: a file, folder or setup that a flag names does not do
)

// exitCode is for an error that is not nil; other is the code where the
// configuration is not the cause.
func exitCode(err error, other int) int {
	if _, ok := errors.AsType[app.ConfigError](err); ok {
		return exitConfig
	}
	return other
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == app.LaunchArg {
		err := stap.Launch(args[1:])
		fmt.Fprintf(stderr, "stap-exporter: %v\n", err)
		return exitFailure
	}
	guarding := len(args) > 0 && args[0] == app.GuardArg
	if guarding {
		args = args[1:]
	}
	opts, done, err := app.ParseFlags(args, version, stdout)
	if err != nil {
		fmt.Fprintf(stderr, "stap-exporter: %v (--help lists the flags)\n", err)
		return exitCode(err, exitUsage)
	}
	if done {
		return exitOK
	}
	if guarding {
		if err := stap.Guard(app.NewLogger(opts, stderr)); err != nil {
			return exitFailure // it is in the log
		}
		return exitOK
	}
	switch opts.Command {
	case "check":
		err = app.Check(opts, stdout)
	case "doctor":
		err = app.Doctor(opts, stdout)
	default:
		err = app.Serve(opts, stderr)
	}
	if err != nil {
		fmt.Fprintf(stderr, "stap-exporter: %v\n", err)
		return exitCode(err, exitFailure)
	}
	return exitOK
}
