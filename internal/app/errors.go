package app

import (
	"errors"
	"fmt"
	"slices"
	"syscall"

	"stap-exporter/internal/toolchain"
	"stap-exporter/internal/trust"
)

// ConfigError is an error of a file, a directory or a setup that a flag names:
// it stays until the configuration changes.
type ConfigError struct{ err error }

// Error returns the text of the cause.
func (e ConfigError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e ConfigError) Unwrap() error { return e.err }

// Causes that may pass without a change of the configuration.
var transient = []error{
	syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOSPC, syscall.EDQUOT, syscall.EINTR, syscall.EAGAIN,
	syscall.EIO, syscall.ESTALE, syscall.ETIMEDOUT,
}

// misconfigured makes err, which is not nil, a ConfigError, unless its cause is
// transient.
func misconfigured(err error) error {
	if slices.ContainsFunc(transient, func(cause error) bool { return errors.Is(err, cause) }) {
		return err
	}
	return ConfigError{err}
}

// explainNoStap adds what to do where SystemTap is not installed, or others can
// change it. The error is a ConfigError in the latter case, and where
// --stap.path does not name an executable; SystemTap that is not installed, or
// only in part, is none.
func explainNoStap(opts Options, err error) error {
	if errors.Is(err, trust.ErrUntrusted) {
		return misconfigured(fmt.Errorf(
			"%w, or name another with --stap.path or --stap.runtime-dir, or start with --scripts.allow-insecure",
			err,
		))
	}
	if errors.Is(err, toolchain.ErrNoStap) {
		err = fmt.Errorf(
			"%w: install it (Debian, Ubuntu: apt install systemtap gcc; Fedora: dnf install systemtap), "+
				"or name it with --stap.path",
			err,
		)
	}
	if opts.stap != defaultStap {
		if _, wrong := toolchain.LookPath(opts.stap); wrong != nil {
			return misconfigured(err)
		}
	}
	return err
}
