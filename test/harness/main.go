package harness

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Main is the TestMain of the packages that start an exporter. It makes the
// test binary a stand-in where a script of StandInScript started it. Packages
// run one at a time, since each of them keeps all CPUs busy.
func Main(m *testing.M) {
	if faults := os.Getenv(StandInEnv); faults != "" {
		os.Exit(standIn(strings.Split(faults, " "), os.Args[1:]))
	}
	unlock, err := lockMachine()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	unlock()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// lockMachine waits until no other test binary of this tree runs whole-program
// tests.
func lockMachine() (unlock func(), err error) {
	file, err := os.Open("../harness/main.go") // not go.mod, which the go command locks
	if err != nil {
		return nil, fmt.Errorf("open the lock of whole-program tests: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		return nil, fmt.Errorf("take the lock of whole-program tests: %w", err)
	}
	return func() { _ = file.Close() }, nil
}
