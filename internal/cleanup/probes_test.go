package cleanup

import (
	"os"
	"path/filepath"
	"testing"

	"stap-exporter/internal/staptest"
)

func TestRemoveProbes(t *testing.T) {
	dir := t.TempDir()
	for list, c := range map[string]struct{ before, removed string }{
		"uprobe_events": {
			"p:uprobes/stapprobe_77_0 /lib/libc.so.6:0x1\np:uprobes/stapprobe_7_0 /lib/libc.so.6:0x1\nr:uprobes/stapprobe_8_13 /x:0x2\np:uprobes/mine /x:0x3\np:mine/p7_0 /x:0x4\n",
			"-:uprobes/stapprobe_7_0\n-:uprobes/stapprobe_8_13\n",
		},
		"kprobe_events": {
			"p:kprobes/p77_0 vfs_read\np:kprobes/p7_0 vfs_read\nr2:kprobes/p8_13 vfs_write\np:kprobes/p_vfs_read_0 vfs_read\np:mine/p7_0 x\n",
			"-:kprobes/p7_0\n-:kprobes/p8_13\n",
		},
	} {
		path := filepath.Join(dir, list)
		staptest.WriteFile(t, path, c.before)
		if left := (&Cleaner{Tracing: dir}).RemoveProbes([]int{7, 8}, staptest.Patience); len(left) > 0 {
			t.Errorf("%s: left: %q", list, left)
		}
		if got, _ := os.ReadFile(path); string(got) != c.before+c.removed {
			t.Errorf("%s got %q, want %q", list, got, c.before+c.removed)
		}
	}
}
