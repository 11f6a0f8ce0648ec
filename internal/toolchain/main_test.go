package toolchain

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"stap-exporter/internal/staptest"
)

// TestMain makes the test binary the launcher, SystemTap's stand-ins (by the
// name it is called by), and the tests.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "as-launcher" {
		fmt.Fprintln(os.Stderr, Launch(os.Args[2:]))
		os.Exit(126)
	}
	staptest.Main()
	goleak.VerifyTestMain(m)
}
