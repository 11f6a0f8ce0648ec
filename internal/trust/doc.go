// Package trust decides whether a file is safe to run with the exporter's
// rights: only root and the exporter's own user may be able to change it, or
// any directory on its path. The package reads the file system and nothing
// else. All of it may be called from any goroutine.
package trust
