package instance

import (
	"fmt"
	"os"
	"testing"
)

// TestMain runs the tests, or a second exporter that takes the same instance if
// the test binary was started as one. It fails when the tests leak a
// descriptor. (The package starts no goroutine.)
func TestMain(m *testing.M) {
	if dir := os.Getenv(secondEnv); dir != "" {
		os.Exit(second(dir))
	}
	before := openDescriptors()
	code := m.Run()
	if after := openDescriptors(); code == 0 && after > before {
		fmt.Fprintf(os.Stderr, "%d descriptors open before the tests, %d after\n", before, after)
		code = 1
	}
	os.Exit(code)
}

func openDescriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	n := 0
	for _, e := range entries {
		// The descriptors of the runtime's poller stay open.
		target, _ := os.Readlink("/proc/self/fd/" + e.Name())
		if target != "anon_inode:[eventpoll]" && target != "anon_inode:[eventfd]" {
			n++
		}
	}
	return n
}
