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
	info := parseHelp(text)
	if info.RC != "/root/.systemtap/rc" || info.Runtime != "/usr/share/systemtap/runtime" ||
		!slices.Equal(info.Tapsets, []string{"/usr/share/systemtap/tapset", "/opt/data/systemtap/tapset"}) {
		t.Errorf("got %+v", info)
	}
}

func TestVersionInfoOfRealStap(t *testing.T) {
	if testing.Short() {
		t.Skip("needs SystemTap")
	}
	stap, err := exec.LookPath("stap")
	if err != nil {
		t.Fatal(err)
	}
	extra := t.TempDir()
	t.Setenv("XDG_DATA_DIRS", extra)
	var reader VersionReader
	info, err := reader.Read(stap)
	if err != nil {
		t.Fatal(err)
	}
	if len(info.Tapsets) != 2 || info.Tapsets[1] != extra+"/systemtap/tapset" ||
		!strings.HasPrefix(info.Version, "Systemtap translator") ||
		!strings.HasSuffix(info.RC, "/rc") {
		t.Errorf("got %+v", info)
	}
	if _, err := os.Stat(filepath.Join(info.Tapsets[0], "prometheus.stpm")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(info.Runtime, "sym.c")); err != nil {
		t.Error(err)
	}
}
