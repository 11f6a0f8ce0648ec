package scrape

import "errors"

// The causes of an Answer without a page. The HTTP front end turns each into a
// status code; compare with errors.Is.
//
// There are two more, for a script that must not be started (Script.Refused):
// trust.ErrUntrusted and script.ErrInvalidHeader. Both are wrapped with a
// remedy. An error can match both; then ErrUntrusted decides the code.
var (
	ErrUnknown = errors.New("script not found")
	// ErrNotRunning: the script is idle, starting or stopping. It was started,
	// or will be, unless the query was passive.
	ErrNotRunning = errors.New("script is not running yet")
	// ErrBackingOff: Status.RetryAt and Status.Reason have the details.
	ErrBackingOff = errors.New("script failed and is in back-off")
	// ErrPaused: the script starts again when an operator starts it, or when
	// its file changes.
	ErrPaused = errors.New("script was paused by an operator")
	// ErrReadTimeout: the script runs, but its procfs file did not answer.
	ErrReadTimeout = errors.New("script's metrics did not arrive in time")
	// ErrReadFailed: the script runs, but its procfs file cannot be opened or
	// read. It is wrapped with the cause.
	ErrReadFailed = errors.New("read script's metrics")
	// ErrNoValidSamples: text was read, but no line of it parses. It is wrapped
	// with the first problem.
	ErrNoValidSamples = errors.New("script's text has no valid sample")
	ErrOverLimit      = errors.New("too many requests wait for the script")
	// ErrClientGone: the client disconnected while its request waited, so
	// nobody reads the answer.
	ErrClientGone   = errors.New("client disconnected")
	ErrShuttingDown = errors.New("exporter is shutting down")
	// ErrInternal: the actor panicked while it held the request.
	ErrInternal = errors.New("internal error in the script actor")
)
