// Package supervisor is the root of the actor tree: it spawns one script actor
// per script, restarts each alone when it fails, and ends them all at shutdown.
//
// The root actor owns the catalogue. Reload looks through the scripts folder in
// its caller's goroutine, and hands what it found to the root, which spawns,
// replaces and removes; a removed script's actor is in nobody's sight at once,
// and stops when nothing is left of its child.
//
// Supervisor's methods may be called from any goroutine. They find a script's
// actor through a snapshot that only the root actor replaces, so that no
// request passes through the root.
package supervisor
