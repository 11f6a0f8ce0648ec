// Package staptest supports tests: a stand-in for SystemTap's executables
// (standin.go), the directory in which it works (dir.go), the files of a
// machine (machine.go), and waiting for conditions (wait.go). Only tests import
// it. It imports no other package of this module, so that the tests of every
// package can import it.
//
// Its files and processes belong to the test that made them and end with it. It
// starts no goroutine in a test; a stand-in, which is a process of its own,
// may.
package staptest
