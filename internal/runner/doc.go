// Package runner starts, follows and stops the runs of scripts. A Host is
// SystemTap on this machine, with the runtime that works here. Host.Start makes
// a Run: one start of one script, from its place in the start queue over its
// steps (compile, load and run) to the cleanup. Each step is one child process
// with its process group.
//
// What a Run promises:
//   - Start, Run.Stop and Run.Kill never block. Everything happens in the run's
//     own goroutine, which alone calls report. report must return quickly and
//     must not wait for the run.
//   - Progress is reported any number of times, then Ready at most once, then
//     Exited exactly once and last. Each has the run's number.
//   - Exited is reported only when the child is reaped, its process group has
//     ended, and its module, FIFO and work directory are removed. What could
//     not be removed in bounded time is named in Exit.Residue.
//   - What the child writes is read to the end, also while it is being stopped,
//     so that a script that prints a lot never hangs.
//
// Kernel modules are compiled once (compile.go): a start copies the module from
// the cache into its work directory and gives it to staprun. Runs that need the
// same module at the same time share one compile. Host.Precompile fills the
// cache in the background, one run at a time; Host.Validate compiles a new
// version while the script runs; the capability probe (probe.go) finds out
// whether kernel modules work here.
//
// No death of a process leaves anything behind: NewHost removes what an earlier
// exporter left, a guardian cleans up when this process dies, orphans are
// adopted and reaped.
//
// Goroutines: one per Run, with those of its Child; one for Precompile; those
// of the guardian and the reaper. A Host and a Run may be used from any
// goroutine.
//
// Files: Config.Dir/guardian.lock is held by this process and its guardian,
// Config.CacheDir/modules are the compiled modules, Config.Dir/run/MODULE is a
// run's work directory (and the child's TMPDIR), Config.Dir/bpf-tree/RELEASE a
// build tree for the bpf runtime, Config.Dir/runtime.json the result of the
// capability probe. One run at a time may use a module's name: the caller's
// promise.
package runner
