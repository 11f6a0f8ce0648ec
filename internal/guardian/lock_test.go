package guardian

import (
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"stap-exporter/internal/staptest"
)

func TestGuardianLock(t *testing.T) {
	dir := t.TempDir()
	first, err := Lock(dir, 0, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	staptest.WriteFile(t, filepath.Join(dir, "guardian.lock"), "77\n")
	_, err = Lock(dir, 0, zap.NewNop())
	if err == nil || !strings.Contains(err.Error(), "process 77") {
		t.Errorf("error is %v", err)
	}
	_ = first.Close()
	second, err := Lock(dir, 0, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	_ = second.Close()
}
