package cleanup

import (
	"testing"

	"go.uber.org/goleak"

	"stap-exporter/internal/staptest"
)

// TestMain makes the test binary SystemTap's stand-ins (by the name it is
// called by), and the tests.
func TestMain(m *testing.M) {
	staptest.Main()
	goleak.VerifyTestMain(m)
}
