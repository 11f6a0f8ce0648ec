package cleanup

import (
	"testing"

	"go.uber.org/goleak"

	"stap-exporter/internal/staptest"
)

// TestMain makes the test binary a stand-in for SystemTap when it is called by
// a stand-in's name. It fails when the tests leak goroutines.
func TestMain(m *testing.M) {
	staptest.Main()
	goleak.VerifyTestMain(m)
}
