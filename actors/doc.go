// Package actors holds the script actor: one per script, the only owner of the
// script's stap child, its keepalive timer and its procfs reads.
//
// The protocol is on one page, messages.go; the states and every way from one
// to another are in states.go. The supervisor package spawns the actors and
// restarts them; a Handle is what the outside holds of one.
//
// What is where:
//   - script.go: the actor: Receive, its life, requests and shutdown.
//   - runs.go: what follows from the news of a run, and back-off.
//   - timers.go: keepalive and hold-off.
//   - reads.go: who waits for which read, and how many may. Requests that come
//     together share a read, and no reply carries data of a read that was
//     opened before its request.
//   - replace.go: another version of the script's file, tried before it takes
//     over.
//   - operate.go: start, stop and restart by hand, and what bars a script from
//     starting.
//   - heritage.go: what a reborn actor must know, given to it by its producer.
//   - handle.go: the way in. Handle.Ask may be called from any goroutine;
//     everything else here runs in the actor's own.
//
// Nothing in Receive blocks: processes and reads run in goroutines of their
// own, touch no field of the actor, and report back with messages that carry a
// run or read number, so that a late report of an earlier run is ignored.
package actors
