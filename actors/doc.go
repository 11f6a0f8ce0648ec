// Package actors holds the script actor. There is one per script: the only
// owner of the script's child process, its timers and its reads.
//
// The supervisor package spawns the actors and restarts them. A Handle is what
// other packages hold of an actor; its methods may be called from any
// goroutine. Everything else here runs in the actor's own goroutine.
//
// Where to find what:
//   - messages.go: the whole protocol on one page.
//   - states.go: the states as a table, and a receive function per state.
//   - become.go: what entering a state does; the published status.
//   - script.go: Spawn, Receive, and how an incarnation begins and ends.
//   - durable.go: what an actor leaves to its next incarnation.
//   - requests.go, waiters.go: which request waits for what, and how many may.
//   - reader.go: reads of the script's file, shared by requests.
//   - source.go: one read of that file; starter.go: runs as processes.
//   - runs.go, backoff.go: the end of a run, and back-off.
//   - timers.go: keepalive and the other timers.
//   - update.go: new versions of the script's file.
//   - operate.go: start, stop and restart by an operator.
//   - shutdown.go: the end of a script.
//   - handle.go: the way in.
//
// Receive never blocks. Processes and reads run in goroutines of their own.
// Those touch no field of the actor and report with messages that carry the
// number of a run or read, so that a late report of an earlier one is ignored.
package actors
