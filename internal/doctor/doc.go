// Package doctor reports what this machine can and cannot do for scripts. It
// checks what SystemTap needs, and runs a script under each runtime.
//
// It owns no state. Diagnose may be called from any goroutine and returns when
// its runs have ended; it starts no goroutines except those of its runner.Host.
package doctor
