package toolchain

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"stap-exporter/internal/staptest"
)

// TestMain lets the test binary also be the launcher and, by the name that it
// is called by, the stand-ins for SystemTap's executables.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "as-launcher" {
		fmt.Fprintln(os.Stderr, Launch(os.Args[2:]))
		os.Exit(126)
	}
	staptest.Main()
	goleak.VerifyTestMain(m)
}
