// Package stap starts and ends SystemTap's processes. It is the only package
// that makes processes and the only one that waits for them.
//
// A Host knows where SystemTap is and which runtime works here. Host.Start
// makes a Run: one start of one script, a list of stages (compile, then load
// and run), each stage one command line from commands.go and one process group.
//
// What a Run promises:
//   - Start, Run.Stop and Run.Kill never block. Everything happens in the run's
//     own goroutine, which alone calls report; what report does, it must do
//     quickly and without waiting for the run.
//   - Progress comes any number of times, then Ready at most once, then Exited
//     exactly once and last. Each carries the run's number.
//   - Exited comes only when the child is reaped, its process group is gone,
//     and its module, FIFO and work folder are removed. What could not be
//     removed in bounded time is named in Exit.Leftovers.
//   - What the child writes is read to the end, also while it is being stopped,
//     so that a chatty script never hangs; the last 64 KiB are kept, and lines
//     are logged at a bounded rate (linelog.go).
//
// Per child there are three goroutines: the run's own, one that reads the
// child's output, one that waits for the child's end without reaping it. The
// child is reaped by the run's goroutine only after its group is gone: until
// then its process id, and so its group's id, cannot be given to anybody else,
// and a signal to the group cannot hit a stranger.
//
// Kernel modules are compiled once (compile.go): the key of a module (key.go)
// names all that it is made of, and the cache (cache.go) has the module with a
// manifest that knows the user programs whose addresses are in it
// (programs.go). A start copies it into its work folder and gives it to
// staprun. Host.Precompile fills the cache ahead, in one more goroutine and
// with one run at a time; a start that needs the module which is just being
// compiled waits for it.
//
// No death of a process leaves anything behind. Each child carries a mark in
// its environment, which its descendants inherit wherever they go (marker.go).
// A guardian, a small process at the other end of a pipe, knows of every run
// and cleans up when this process dies (guard.go is this end, guardian.go the
// other). The start of a Host removes what both left when both died
// (startsweep.go). Orphans come to this process, which reaps them; so that this
// takes no exit code from somebody who waits for it, every process is started
// and waited for through the registry in reaper.go, never by exec.Cmd's own
// methods.
//
// Files: Config.Dir/guardian.lock is held by this process and its guardian,
// Config.CacheDir/modules are the compiled modules, Config.Dir/run/MODULE is a
// run's work folder (and the child's TMPDIR), Config.Dir/bpf-tree/RELEASE a
// build tree for the bpf runtime, Config.Dir/runtime.json the verdict about
// kernel modules. A module's name must be used by one run at a time: the
// caller's promise.
package runner
