// Package scrape is the vocabulary that the HTTP front end, the supervisor and
// the script actors share, so that none has to know another: Query, Answer,
// Status, State, the sentinel errors, and the counters and histories that a
// Status carries. It does nothing by itself. All of it may be used from any
// goroutine.
package scrape
