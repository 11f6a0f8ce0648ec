// Package supervisor is the root of the actor tree: it spawns one script actor per script, restarts each alone when it fails, and ends them all at shutdown.
//
// Supervisor's methods may be called from any goroutine. They find a script's actor through a snapshot that only the root actor replaces, so that no request passes through the root.
package supervisor
