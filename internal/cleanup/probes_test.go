package cleanup

import (
	"os"
	"path/filepath"
	"testing"

	"stap-exporter/internal/staptest"
)

func TestRemoveProbes(t *testing.T) {
	dir := t.TempDir()
	cleaner := Cleaner{Tracing: dir}
	for list, c := range map[string]struct{ before, removed string }{
		"uprobe_events": {
			"p:uprobes/stapprobe_77_0 /lib/libc.so.6:0x1\n" +
				"p:uprobes/stapprobe_7_0 /lib/libc.so.6:0x1\n" +
				"r:uprobes/stapprobe_8_13 /x:0x2\n" +
				"p:uprobes/mine /x:0x3\n" +
				"p:mine/p7_0 /x:0x4\n",
			"-:uprobes/stapprobe_7_0\n-:uprobes/stapprobe_8_13\n",
		},
		"kprobe_events": {
			"p:kprobes/p77_0 vfs_read\n" +
				"p:kprobes/p7_0 vfs_read\n" +
				"r2:kprobes/p8_13 vfs_write\n" +
				"p:kprobes/p_vfs_read_0 vfs_read\n" +
				"p:mine/p7_0 x\n",
			"-:kprobes/p7_0\n-:kprobes/p8_13\n",
		},
	} {
		path := filepath.Join(dir, list)
		staptest.WriteFile(t, path, c.before)
		if residue := cleaner.RemoveProbes([]int{7, 8}, staptest.Patience); len(residue) > 0 {
			t.Errorf("%s: residue: %q", list, residue)
		}
		if got, _ := os.ReadFile(path); string(got) != c.before+c.removed {
			t.Errorf("%s is %q, want %q", list, got, c.before+c.removed)
		}
	}
}
