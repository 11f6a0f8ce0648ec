package toolchain

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParseHelp(t *testing.T) {
	const text = `Options (in /root/.systemtap/rc and on command line):
   --         end of translator options, script options follow
   -I DIR     look in DIR for additional .stp script files, in addition to
              /usr/share/systemtap/tapset
              /opt/data/systemtap/tapset
   -D NM=VAL  emit macro definition into generated C code
   -R DIR     look in DIR for runtime, instead of
              /usr/share/systemtap/runtime
   -r DIR     cross-compile to kernel with given build tree; or else
   -r RELEASE cross-compile to kernel /lib/modules/RELEASE/build, instead of
              /lib/modules/6.1.0/build
`
	a := parseHelp(text)
	if a.RC != "/root/.systemtap/rc" || a.Runtime != "/usr/share/systemtap/runtime" ||
		!slices.Equal(a.Tapsets, []string{"/usr/share/systemtap/tapset", "/opt/data/systemtap/tapset"}) {
		t.Errorf("got %+v", a)
	}
}

func TestRealStapTellsItsFolders(t *testing.T) {
	stap, err := exec.LookPath("stap")
	if err != nil {
		t.Skip("SystemTap is not installed")
	}
	extra := t.TempDir()
	t.Setenv("XDG_DATA_DIRS", extra)
	var teller VersionReader
	a, err := teller.Read(stap)
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Tapsets) != 2 || a.Tapsets[1] != extra+"/systemtap/tapset" ||
		!strings.HasPrefix(a.Version, "Systemtap translator") ||
		!strings.HasSuffix(a.RC, "/rc") {
		t.Errorf("got %+v", a)
	}
	if _, err := os.Stat(filepath.Join(a.Tapsets[0], "prometheus.stpm")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(a.Runtime, "sym.c")); err != nil {
		t.Error(err)
	}
}
