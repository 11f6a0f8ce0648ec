// Package procfile reads the "procfs" file of a running SystemTap script: one
// bounded, cancellable read at a time.
//
// There are two kinds of such files. Under the kernel-module runtime it is a
// procfs file below /proc/systemtap. Under the bpf runtime it is a FIFO below
// /var/tmp/systemtap-USER, written by stapbpf. Roots.Find returns the file of a
// module; File.Read reads one snapshot from it. File.Read documents how both
// kinds behave when they are busy, missing or closed early. Sources:
// runtime/procfs-probes.c and stapbpf/stapbpf.cxx of SystemTap 4.8, and
// observation.
//
// # Ownership and goroutines
//
// The package keeps no state: Roots and File are values, a descriptor lives
// within one Read, and a body belongs to the caller. Every function may be
// called from any goroutine, but the caller must ensure that there is one Read
// at a time per file: the kernel answers a second reader with an empty text,
// and a FIFO would split one text between two readers. The package starts no
// goroutine; a Read occupies its caller's goroutine until it returns.
package procfile
