// Command stap-exporter runs a directory of SystemTap scripts and makes each a
// Prometheus target.
//
// This package has the subcommands, the exit codes, and the entries with which
// the exporter executes itself. The rest is in internal/app.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"stap-exporter/internal/app"
	"stap-exporter/internal/guardian"
	"stap-exporter/internal/runner"
)

// version is set by the linker, see Makefile.
var version = "unknown"

// Exit codes. The last two are those of sysexits.h: another start would fail
// the same way, and the systemd unit does not try one. 2 is not among them,
// since Go ends a process with it that panics or receives a SIGQUIT.
const (
	exitOK      = 0
	exitFailure = 1  // the exporter could not start, failed, or left residue
	exitUsage   = 64 // EX_USAGE: an unknown flag or argument, a value that cannot be parsed
	exitConfig  = 78 // EX_CONFIG: a file, directory or setup that a flag names cannot be used
)

// exitCode returns the code of err, which is not nil; other is the code of an
// error that is not the configuration's.
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
		err := runner.Launch(args[1:]) // returns on an error only
		fmt.Fprintf(stderr, "stap-exporter: %v\n", err)
		return exitFailure
	}
	guarding := len(args) > 0 && args[0] == app.GuardArg
	if guarding {
		args = args[1:]
	}
	opts, err := app.ParseFlags(args, version, stdout)
	if err != nil {
		fmt.Fprintf(stderr, "stap-exporter: %v (--help lists the flags)\n", err)
		return exitCode(err, exitUsage)
	}
	if opts.Command == app.CommandNone {
		return exitOK
	}
	if guarding {
		if err := guardian.Run(app.NewLogger(opts, stderr)); err != nil {
			return exitFailure // it is in the log
		}
		return exitOK
	}
	switch opts.Command {
	case app.CommandCheck:
		err = app.Check(opts, stdout)
	case app.CommandDoctor:
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
