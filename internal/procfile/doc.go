// Package procfs reads the "procfs" file that a running SystemTap script
// offers: one bounded, cancellable read at a time.
//
// There are two kinds of such files. Under the kernel-module runtime it is a
// real procfs file below /proc/systemtap; under the bpf runtime it is a FIFO
// below /var/tmp/systemtap-<user>, written by stapbpf. Roots.Find says which
// one a module has, File.Read takes one whole snapshot from it. What both kinds
// do when they are busy, gone or left early is told at Read; it was read in
// runtime/procfs-probes.c and stapbpf/stapbpf.cxx of SystemTap 4.8 and seen in
// runs.
//
// Nothing here keeps state: Roots and File are values, a descriptor lives
// within one Read, and a body belongs to who asked for it. Everything may be
// called from any goroutine, but a script's file takes one reader at a time:
// the caller sees to it that there is one Read per script (the kernel answers a
// second one with nothing, and stapbpf's FIFO would split the text between
// two). The package starts no goroutine; a Read keeps its own goroutine until
// it returns.
package procfile
