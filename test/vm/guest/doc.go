// Package guest holds the scenarios of test/vm. It is a test binary that runs as
// root inside the guest, with the exporter's binary, scripts and modules in
// /in; see package vm.
//
// scenarios_test.go is the list. Each scenario starts exporters of its own, on
// folders of its own, so that several run at once and each can check that
// nothing of its own is left; what is checked for the whole guest (the kernel's
// log) comes at the end.
package guest
