// Package guardian cleans up after an exporter that is killed. A guardian is
// this program again, a small process at the other end of a pipe: when the pipe
// ends it removes everything that the exporter left, see cleanup.Cleaner.
//
// The exporter's end is a Guardian, which replaces the process when it ends;
// the process is Run. Both hold the lock of the exporter's private directory,
// so that the next exporter waits until the cleanup is done.
//
// A Guardian has one goroutine, which waits for the process; its Close may be
// called from any goroutine.
package guardian
