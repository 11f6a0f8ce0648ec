// Package cleanup knows what a run of a script can leave behind, and removes
// it: processes, the loaded module, the FIFO, probes in tracefs, the work
// directory. Cleaner.Run does so for one run, Cleaner.All for all runs of an
// exporter that is dead: at the start of the next one, and in the guardian.
//
// It owns the work directories DIR/run/MODULE while it removes them, and the
// record of processes in each. What it could not remove in bounded time it
// returns by name. It starts goroutines only within All, and its methods may be
// called from any goroutine.
package cleanup
