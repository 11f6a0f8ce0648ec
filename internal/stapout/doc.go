// Package stapout understands what SystemTap prints: it keeps the last part of
// a child's output, logs its lines at a bounded rate, follows the passes of
// stap, finds the lines that matter, and knows remedies for known failures.
//
// It starts no goroutine, no process and opens no file. A Capture and a LineLog
// may be used from any goroutine.
package stapout
