package app

import (
	"errors"
	"slices"
	"syscall"
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
