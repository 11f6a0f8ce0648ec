// Package scrape is the vocabulary that the HTTP front end, the supervisor and
// the script actors share, so that none of them has to import another: Query,
// Answer, Status, State, the sentinel errors, and the counters and history that
// a Status refers to.
//
// The package starts no goroutine and does no I/O. All of it may be used from
// any goroutine.
package scrape
