package chaos

import (
	"testing"

	"stap-exporter/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
