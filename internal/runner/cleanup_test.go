package runner

import (
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestNewHostRemovesWhatADeadExporterLeft(t *testing.T) {
	l := newLab(t, "", nil)
	cfg := l.host.cfg
	core, logs := observer.New(zapcore.InfoLevel)
	cfg.Logger = zap.New(core)
	work := filepath.Join(cfg.Dir, "run", "m1")
	if err := os.MkdirAll(work, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		h, err := newHost(cfg, l.host.system)
		if err != nil {
			t.Fatal(err)
		}
		h.Close()
	}
	if _, err := os.Stat(work); err == nil {
		t.Error("the work directory is still there")
	}
	if n := logs.FilterMessage("removed what an earlier exporter left").Len(); n != 1 {
		t.Errorf("logged %d times, want only at the first start", n)
	}
}
