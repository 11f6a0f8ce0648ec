// Package trust decides whether a file is safe to run with the exporter's
// rights: only root and the exporter's own user may be able to change it, or
// any directory on its path. It also creates directories that nobody else can
// write to. All of it may be called from any goroutine.
package trust
