// Package proc starts, finds, ends and reaps processes. It knows nothing of
// SystemTap.
//
// It owns the children of this process: a Child with its process group, the
// short commands of Output, and a Session. Every one is started and waited for
// through the registry in children.go, so that the Reaper, which reaps adopted
// orphans, never takes the exit code of a process that has a waiter.
//
// It finds processes in /proc by process group and by run tag, an environment
// variable that descendants inherit (tag.go). A scan of /proc is shared by all
// callers that wait for one (shared.go); start times, with the boot id, tell a
// process from a later one with the same id.
//
// Goroutines: two per Child, one that reads its output and one that waits for
// its end without reaping it; one per running Output; one for the Reaper; one
// for the shared scan, which ends when no caller comes. Everything may be
// called from any goroutine, except for the methods of a Child, which belong to
// the goroutine that started it (Members may be called from others).
package proc
