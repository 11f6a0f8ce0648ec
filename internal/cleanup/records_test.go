package cleanup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stap-exporter/internal/proc"
	"stap-exporter/internal/staptest"
)

// Process ids of an earlier boot identify no process of this one.
func TestRecordsOfAnEarlierBootAreIgnored(t *testing.T) {
	dir := t.TempDir()
	self, _ := proc.Read(os.Getpid())
	Record(dir, self)
	path := filepath.Join(dir, recordFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	earlier := strings.Replace(string(text), proc.BootID(), "another", 1)
	staptest.WriteFile(t, path, earlier+"999999 1 another\n9")
	if groups, ended := recorded(dir); len(groups) > 0 || len(ended) > 0 {
		t.Errorf("groups %v, ended %v", groups, ended)
	}
}
