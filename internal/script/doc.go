// Package script reads script files: which files of a directory are scripts,
// what the header of each requests, and whether it is safe to run.
//
// Scan, Inspect and Script.CheckTrust read files. All else are values and pure
// functions. All of it may be called from any goroutine.
package script
