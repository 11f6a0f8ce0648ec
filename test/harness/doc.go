// Package harness starts exporters for tests: Start builds and starts one,
// StartCommand starts one from a command line of its own. Further helpers read
// its API, find its processes and its residue, and play a SystemTap that
// misbehaves.
//
// Packages that use it call Main in their TestMain.
package harness
