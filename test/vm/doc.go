// Package vm tries the exporter with kernel modules for real: in a Debian
// guest under qemu, with the real static binary, stap, staprun, stapio and
// kernel.
//
//	make test-vm                                  all scenarios
//	make test-vm ARGS='-scenario autostart'       those whose name matches
//	make test-vm ARGS=-prepare                    none, but the guest and the modules are made
//
// The host's side is in this folder: build makes the guest (once; kept in the
// user's cache folder), vm_test.go puts binary, scripts and modules into a
// shared folder, boots, and prints what the scenarios tell as a table; start is
// the guest's process 1 until it becomes systemd. Package guest holds the
// scenarios, compiled as a static test binary that runs inside.
//
// The guest runs under software emulation, some twenty times slower than the
// host, unless KVM works. Compiling a module takes minutes then, so the modules
// of scripts/ are compiled on the host, natively, and the guest's make is the
// program in handover: asked for a module by stap's pass 4 it hands the
// finished one over, renamed. Everything else is real: stap's other passes,
// staprun, stapio, the kernel. With STAP_REAL_MAKE in stap's environment pass 4
// is real as well, and one scenario does that.
//
// Nothing here asserts times; scenarios print them.
package vm
