// Package trust decides who may change a file: only a file that nobody but root
// and the exporter's own user can change, on every directory of its path, is
// safe to run with the exporter's rights. It reads the file system and nothing
// else, and may be called from any goroutine.
package trust
