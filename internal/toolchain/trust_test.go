package toolchain

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stap-exporter/internal/trust"
)

// stranger is a user id that the machine does not use.
const stranger = 54321

func TestCheckTrust(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to change the owner of files")
	}
	for name, c := range map[string]struct {
		path string // of what another user owns, or is missing
		gone bool
		want string
	}{
		"all of root":        {},
		"stap":               {"bin/stap", false, `check SystemTap's executables: not safe to run: "`},
		"staprun":            {"bin/staprun", false, `bin/staprun" is owned by user 54321`},
		"stapbpf":            {"bin/stapbpf", false, `bin/stapbpf" is owned by user 54321`},
		"directory":          {"bin", false, `bin" is owned by user 54321`},
		"runtime directory":  {"runtime", false, `check SystemTap's runtime directory: not safe to run: "`},
		"file of it":         {"runtime/linux/access.h", false, `access.h" is owned by user 54321`},
		"no stap any more":   {"bin/stap", true, ""},
		"no runtime anymore": {"runtime", true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			in := func(name string) string { return filepath.Join(dir, name) }
			err := errors.Join(os.Mkdir(in("bin"), 0o755), os.MkdirAll(in("runtime/linux"), 0o755))
			for _, file := range []string{"bin/stap", "bin/staprun", "bin/stapbpf", "runtime/linux/access.h"} {
				err = errors.Join(err, os.WriteFile(in(file), nil, 0o755))
			}
			switch {
			case c.gone:
				err = errors.Join(err, os.RemoveAll(in(c.path)))
			case c.path != "":
				err = errors.Join(err, os.Chown(in(c.path), stranger, 0))
			}
			if err != nil {
				t.Fatal(err)
			}
			tools := Tools{
				Stap:       in("bin/stap"),
				Staprun:    in("bin/staprun"),
				Stapbpf:    in("bin/stapbpf"),
				RuntimeDir: in("runtime"),
			}
			switch err := tools.CheckTrust(trust.Self()); {
			case c.want == "" && err != nil:
				t.Errorf("got %v", err)
			case c.want != "" && (!errors.Is(err, trust.ErrUntrusted) || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}
