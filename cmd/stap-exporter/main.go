// Command stap-exporter runs a folder of SystemTap scripts and makes each a
// Prometheus target.
// Here are flags, wiring, signals and exit codes, nothing else.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"

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

// configError is the cause of exitConfig.
type configError struct{ err error }

func (e configError) Error() string { return e.err.Error() }
func (e configError) Unwrap() error { return e.err }

// Causes that may pass without a change of the configuration.
var passing = []error{
	syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOSPC, syscall.EDQUOT, syscall.EINTR, syscall.EAGAIN,
	syscall.EIO, syscall.ESTALE, syscall.ETIMEDOUT,
}

// misconfigured makes err, which is not nil, a configError, unless its cause
// may pass.
func misconfigured(err error) error {
	if slices.ContainsFunc(passing, func(cause error) bool { return errors.Is(err, cause) }) {
		return err
	}
	return configError{err}
}

// exitCode is for an error that is not nil; other is the code where the
// configuration is not the cause.
func exitCode(err error, other int) int {
	if _, ok := errors.AsType[configError](err); ok {
		return exitConfig
	}
	return other
}

// First arguments that make this program something else. Not for people.
const (
	// the launcher of a child process: set up what has to be set up in the
	// child, then exec it
	launchArg = "__launch"
	// the guardian, which cleans up after an exporter that was killed; the
	// flags of the log follow
	guardArg = "__guard"
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
		return exitCode(err, exitUsage)
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
		return exitCode(err, exitFailure)
	}
	return exitOK
}
