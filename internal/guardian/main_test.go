package guardian

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
	"go.uber.org/zap"
)

// TestMain makes the test binary the guardian, and the tests.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "as-guardian" {
		if err := Run(zap.NewNop()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}
