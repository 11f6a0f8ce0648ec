// Package toolchain knows SystemTap's executables: where stap, staprun and
// stapbpf are, their command lines and environment, and what stap reports about
// itself. It knows the facts of this machine that they depend on, creates the
// build tree that bpf needs when the kernel's headers are not installed, and
// holds the launcher, which prepares a child process and becomes its command.
//
// It owns the build trees below a private directory. It writes each under a
// temporary name and renames it. It starts no goroutines except those of
// proc.Output, and everything may be called from any goroutine.
package toolchain
