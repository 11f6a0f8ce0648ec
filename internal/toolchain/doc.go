// Package toolchain knows SystemTap's executables: where stap, staprun and
// stapbpf are, their command lines and environment, what stap reports about
// itself, the facts of this machine on which they depend, the build tree that
// bpf needs where the kernel's headers are not installed, and the launcher,
// which prepares a child and becomes its command.
//
// It owns the build trees below a private directory, which it writes under a
// temporary name and renames. It starts no goroutine but those of proc.Output,
// and everything may be called from any goroutine.
package toolchain
