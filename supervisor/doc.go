// Package supervisor is the root of the actor tree. It spawns one script actor
// per script, restarts each alone when it fails, and ends them all at shutdown.
//
// Supervisor's methods may be called from any goroutine. They find a script's
// actor in a snapshot that only the root actor replaces, so that no request
// passes through the root.
//
// Where to find what:
//   - supervisor.go: Start, Scrape, Statuses.
//   - root.go: the root actor, which owns the catalogue of script actors.
//   - strategy.go: what follows from a failure of an actor.
//   - reload.go, scan.go: changes of the script directory.
//   - operate.go: start, stop and restart of a script by an operator.
//   - shutdown.go: the end of all scripts.
//   - timed.go, workers.go: the measurement of actors, and their goroutines.
package supervisor
