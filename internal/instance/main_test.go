package instance

import (
	"os"
	"testing"
)

// TestMain runs the tests, or a second exporter that takes the same instance
// when the test binary was started as one.
func TestMain(m *testing.M) {
	if dir := os.Getenv(secondEnv); dir != "" {
		os.Exit(second(dir))
	}
	os.Exit(m.Run())
}
