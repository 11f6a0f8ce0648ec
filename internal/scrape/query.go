package scrape

import (
	"time"

	"stap-exporter/internal/exposition"
)

// Query is what a request wants from a script.
type Query struct {
	Deadline time.Time       // the answer, or an error, must arrive by then
	Form     exposition.Form // in which the page will be sent
	// Client is asked now and then while the request waits for long. Once it is
	// gone, the answer is ErrClientGone. nil: the client stays.
	Client Client
	// Passive: answer only if the script runs. Nothing is started, and the
	// script's keepalive is not renewed.
	Passive bool
	// Wait until Deadline for a script that is not running yet. false: answer
	// ErrNotRunning at once.
	Wait bool
}

// Client is the peer that sent a request.
type Client interface {
	// Gone reports whether the client has disconnected. It costs a system call,
	// does not block, and may be called from any goroutine.
	Gone() bool
}

// Answer is the reply to a Query: either Page or Err is set.
type Answer struct {
	Page   *exposition.Page // the script's metrics; all replies of one read share it
	Err    error            // nil, or one of this package's errors
	Status *Status          // the script's status at the time of the answer; nil with ErrUnknown
}
