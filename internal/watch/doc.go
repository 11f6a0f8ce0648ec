// Package watch reports when the files of a directory, or the files that
// symlinks in it lead to, may have changed.
//
// A Watcher reports that something changed, not what: the receiver reads the
// directory again, and must accept that it finds no difference.
//
// Each Watcher has one goroutine, which owns the inotify descriptor (through
// fsnotify) and calls Config.Changed. New and Close may be called from any
// goroutine.
//
//   - watch.go: Watcher and its loop, with the quiet period and polling
//   - inotify.go: which directories have an inotify watch, and which events count
//   - follow.go: the directories that determine where a path leads
package watch
