package toolchain

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stap-exporter/internal/staptest"
)

func TestBPFTree(t *testing.T) {
	sys := machine(t)
	dir := t.TempDir()
	if tree, err := sys.BPFTree(dir); tree != "" || err != nil {
		t.Errorf("with headers: %q (%v)", tree, err)
	}
	sys.LibModules = t.TempDir()
	_, err := sys.BPFTree(dir)
	if err == nil || !strings.Contains(err.Error(), "config-1.2.3-lab") {
		t.Errorf("without configuration: %v", err)
	}
	var gz bytes.Buffer
	z := gzip.NewWriter(&gz)
	_, _ = z.Write([]byte("CONFIG_FROM_GZ=y\n"))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for want, write := range map[string]func(){
		"CONFIG_FROM_BOOT=y\n": func() {
			staptest.WriteFile(t, filepath.Join(sys.Boot, "config-"+sys.Release), "CONFIG_FROM_BOOT=y\n")
		},
		"CONFIG_FROM_GZ=y\n": func() { staptest.WriteFile(t, sys.ConfigGz, gz.String()) },
	} {
		dir := t.TempDir()
		write()
		tree, err := sys.BPFTree(dir)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := sys.BPFTree(dir); again != tree || err != nil {
			t.Errorf("second call: %q (%v), want %q", again, err, tree)
		}
		if got, _ := os.ReadFile(filepath.Join(tree, ".config")); string(got) != want {
			t.Errorf("configuration is %q, want %q", got, want)
		}
		if got, _ := os.ReadFile(filepath.Join(tree, "include/config/kernel.release")); string(got) != "1.2.3-lab\n" {
			t.Errorf("release is %q", got)
		}
		if entries, _ := os.ReadDir(filepath.Dir(tree)); len(entries) != 1 {
			t.Errorf("files beside the tree: %v", entries)
		}
		_ = os.Remove(sys.ConfigGz)
	}
}
