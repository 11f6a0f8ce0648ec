// Package cleanup removes what a run of a script can leave behind, its residue:
//   - processes, found by run tag or in a recorded process group,
//   - the loaded kernel module (modules.go),
//   - the directory of the FIFO, which stapbpf makes (fifo.go),
//   - probe definitions in tracefs, which stapbpf makes (probes.go),
//   - the run's work directory, with stap's temporary files.
//
// Cleaner.Run cleans up after one run. Cleaner.All cleans up after an exporter
// that is dead: the next start calls it, and the guardian.
//
// The package owns the work directories DIR/run/MODULE while it removes them,
// and the record of processes in each (records.go). It takes bounded time and
// returns by name what it could not remove. It starts goroutines only within
// All. The methods of a Cleaner may be called from any goroutine.
package cleanup
