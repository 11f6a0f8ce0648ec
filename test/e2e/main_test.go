package e2e

import (
	"testing"

	"stap-exporter/test/harness"
)

// Exit codes, see EXIT STATUS in the man page.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 64
	exitConfig  = 78
)

func TestMain(m *testing.M) { harness.Main(m) }
