// Package vm tests the exporter with real kernel modules: in a Debian guest
// under qemu, with the static binary and the guest's stap, staprun, stapio and
// kernel.
//
//	make test-vm                                  all scenarios
//	make test-vm ARGS='-scenario autostart'       those whose name matches
//	make test-vm ARGS=-prepare                    none, but the guest and the modules are built
//
// The host's side is in this directory: build builds the guest (once; it is
// kept in the user's cache directory), vm_test.go puts binary, scripts and
// modules into a shared directory, boots, and prints the results of the
// scenarios as a table. start is the guest's process 1 until it becomes
// systemd. Package guest has the scenarios, a static test binary that runs in
// the guest.
//
// The guest runs under software emulation, about twenty times slower than the
// host, unless KVM works. A compile of a module would take minutes then, so the
// modules of scripts/ are compiled on the host, natively, and the guest's make
// is the program in handover: when pass 4 of stap calls it for a module, it
// copies the compiled one under the name that stap wants. The rest is real: the
// other passes of stap, staprun, stapio, the kernel. With STAP_REAL_MAKE in
// stap's environment pass 4 is real as well, as one scenario has it.
//
// No scenario checks times; they print them.
package vm
