package harness

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// Main is the TestMain of the packages that start an exporter. Their test
// binaries run one at a time, since each of them keeps all CPUs busy.
func Main(m *testing.M) {
	RunStandIn()
	unlock, err := lockMachine()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := RunTests(m)
	unlock()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// RunStandIn makes the test binary a stand-in, and does not return, where a
// script of StandInScript started it.
func RunStandIn() {
	if faults := os.Getenv(StandInEnv); faults != "" {
		os.Exit(standIn(strings.Split(faults, " "), os.Args[1:]))
	}
}

// lasting are goroutines that libraries start and never end: of fasthttp, and
// of protoactor-go's throttle of dead letters.
var lasting = []goleak.Option{
	goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
	goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	goleak.IgnoreAnyFunction("github.com/asynkron/protoactor-go/actor.NewDeadLetter.NewThrottle.func4.1"),
}

// RunTests runs the tests. They fail when they leak goroutines, descriptors or
// child processes.
func RunTests(m *testing.M) (code int) {
	before := openDescriptors()
	if code = m.Run(); code != 0 {
		return code
	}
	http.DefaultClient.CloseIdleConnections()
	Client.CloseIdleConnections()
	if err := goleak.Find(lasting...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if after := openDescriptors(); after > before {
		fmt.Fprintf(os.Stderr, "%d descriptors open before the tests, %d after\n", before, after)
		code = 1
	}
	if osPID, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); !errors.Is(err, unix.ECHILD) {
		fmt.Fprintf(os.Stderr, "child processes leaked, process %d ended (0: none has): %v\n", osPID, err)
		code = 1
	}
	return code
}

// openDescriptors counts those of this process, without the runtime's poller.
func openDescriptors() (n int) {
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		target, _ := os.Readlink("/proc/self/fd/" + e.Name())
		if target != "anon_inode:[eventpoll]" && target != "anon_inode:[eventfd]" {
			n++
		}
	}
	return n
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
