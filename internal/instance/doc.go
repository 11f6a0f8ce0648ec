// Package instance distinguishes the exporters on one host. It derives an
// identity from what an exporter serves, and from that the names of its kernel
// modules, and holds the lock that stops a second exporter of the same identity
// from starting. All of it may be called from any goroutine.
package instance
