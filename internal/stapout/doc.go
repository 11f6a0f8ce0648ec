// Package stapout understands what SystemTap prints. It keeps the end of a
// child's output, logs its lines at a bounded rate, follows stap's passes,
// selects the lines that matter, and knows remedies for known failures.
//
// It starts no goroutines and no processes and opens no files. Capture and
// LineLog may be used from any goroutine; everything else is a pure function,
// except DiskFull.
package stapout
