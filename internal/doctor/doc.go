// Package doctor finds out what this machine can and cannot do for scripts. It
// looks at what SystemTap needs, and runs a script under each runtime.
//
// It keeps nothing. Diagnose returns when its runs have ended; it starts no
// goroutine but those of its runner.Host.
package doctor
