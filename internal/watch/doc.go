// Package watch tells when a folder of files, or what a symlink in it leads to,
// may have changed.
//
// A Watcher has one goroutine, which owns the inotify descriptor (through
// fsnotify) and calls Config.Changed. It says that something happened, not
// what: who is told looks for himself, and finds the same when he looks twice.
//
//   - watch.go: Watcher, its loop: quiet time, polling, requests from outside
//   - places.go: which folders decide what a path leads to
package watch
