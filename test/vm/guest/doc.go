// Package guest has the scenarios of test/vm. It is a test binary that runs as
// root in the guest, with the exporter's binary, scripts and modules in /in;
// see package vm.
//
// scenarios_test.go has the list. Each scenario starts its own exporters with
// their own directories, so that several run at once, and each checks its own
// residue. The last check is of the whole guest: the kernel's log.
package guest
