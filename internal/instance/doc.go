// Package instance tells one exporter on a host from another, derives the names
// of its kernel modules, and holds the lock that keeps a second exporter of the
// same identity from starting. All of it may be called from any goroutine.
package instance
