package runner

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"stap-exporter/internal/guardian"
	"stap-exporter/internal/staptest"
)

// TestMain makes the test binary several programs: the launcher, the guardian,
// an exporter that can be killed, SystemTap's stand-ins (by the name it is
// called by), and the tests.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "as-launcher" {
		fmt.Fprintln(os.Stderr, Launch(os.Args[2:]))
		os.Exit(126)
	}
	if len(os.Args) > 1 && os.Args[1] == "as-guardian" {
		if err := guardian.Run(zap.NewNop()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) > 1 && os.Args[1] == "as-exporter" {
		exporterMain(os.Args[2:])
		return
	}
	staptest.Main()
	goleak.VerifyTestMain(m)
}
