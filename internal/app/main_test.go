package app

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/zap"

	"stap-exporter/internal/guardian"
	"stap-exporter/internal/runner"
	"stap-exporter/test/harness"
)

// TestMain makes the test binary the launcher, the guardian or a stand-in of
// the exporters that the tests run in process.
func TestMain(m *testing.M) {
	harness.RunStandIn()
	if len(os.Args) > 1 && os.Args[1] == LaunchArg {
		fmt.Fprintln(os.Stderr, runner.Launch(os.Args[2:]))
		os.Exit(1)
	}
	if len(os.Args) > 1 && os.Args[1] == GuardArg {
		if err := guardian.Run(zap.NewNop()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(harness.RunTests(m))
}
