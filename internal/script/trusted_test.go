package script

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stap-exporter/internal/trust"
)

const stranger = 54321 // a user id that the machine does not use

func needRoot(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs root, to change the owner of files")
	}
}

// What the options of a script name is checked like the script.
func TestCheckTrustOptions(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(
		os.MkdirAll(in("good/linux"), 0o755),
		os.WriteFile(in("good/linux/a.stp"), nil, 0o644),
		os.WriteFile(in("good/prog"), nil, 0o755),
		os.MkdirAll(in("bad"), 0o755),
		os.WriteFile(in("bad/a.stp"), nil, 0o644),
		os.Chown(in("bad/a.stp"), stranger, 0),
		os.WriteFile(in("bad/prog"), nil, 0o755),
		os.Chown(in("bad/prog"), stranger, 0),
		os.MkdirAll(in("open"), 0o755),
		os.Chmod(in("open"), 0o777|fs.ModeSticky),
	); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", in("none")+":"+in("bad")+":"+in("good"))
	for args, want := range map[string]string{
		"-I " + in("good"):               "",
		"-I " + in("bad"):                `option -I ` + in("bad") + `: not safe to run: "`,
		"-gvI" + in("bad"):               `bad/a.stp" is owned by`,
		"-I " + in("none"):               "",
		"-I " + in("open/none"):          "does not exist, and any user can create it",
		"-I tapset":                      "",
		"-R " + in("good"):               "",
		"-R " + in("bad"):                `option -R `,
		"-r " + in("good"):               "",
		"-r " + in("bad/prog"):           `option -r `,
		"-r 6.1.0-44-amd64":              "",
		"-c " + in("good/prog"):          "",
		"-c " + in("bad/prog"):           `option -c ` + in("bad/prog") + `: not safe to run`,
		`-c '` + in("bad/prog") + ` -v'`: `bad/prog" is owned by`,
		"-c prog":                        `bad/prog" is owned by`,
		`-c '"prog" -v'`:                 `bad/prog" is owned by`,
		"-c none":                        "",
		"-c ./prog":                      "",
		"-c ''":                          "",
		"-x 1":                           "",
		"-d " + in("bad/prog"):           "",
	} {
		t.Run(args, func(t *testing.T) {
			path := in("good/script.stp")
			text := fmt.Sprintf("// stap-exporter: args=%q\n", args)
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			s, err := Inspect(path, testInst, ScanOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if want == "" {
				if s.Refused != nil {
					t.Errorf("refused: %v", s.Refused)
				}
				return
			}
			if !errors.Is(s.Refused, trust.ErrUntrusted) || !strings.Contains(s.Refused.Error(), want) {
				t.Errorf("got %v, want %s", s.Refused, want)
			}
			s, err = Inspect(path, testInst, ScanOptions{AllowInsecure: true})
			if err != nil || s.Refused != nil || !errors.Is(s.Insecure, trust.ErrUntrusted) {
				t.Errorf("got %+v, %v", s, err)
			}
		})
	}
}

// configMap makes a directory as Kubernetes does of a ConfigMap.
func configMap(t *testing.T, mode fs.FileMode) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "scripts")
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(
		os.MkdirAll(in("..2026_11_25_12_00_00.1"), 0o755),
		os.WriteFile(in("..2026_11_25_12_00_00.1/a.stp"), nil, 0o644),
		os.Symlink("..2026_11_25_12_00_00.1", in("..data")),
		os.Symlink("..data/a.stp", in("a.stp")),
		os.Chmod(dir, mode),
	); err != nil {
		t.Fatal(err)
	}
	return dir
}

// The refusal of a ConfigMap's script names the case and what to do.
func TestConfigMap(t *testing.T) {
	needRoot(t)
	for mode, want := range map[fs.FileMode]string{
		0o777 | fs.ModeSticky: "",
		0o777: `scripts" is writable by all users: run chmod go-w "%s"; ` +
			"Kubernetes makes the directory of a ConfigMap like this: " +
			"in a pod whose scripts only the API server can write, start with --scripts.allow-insecure",
	} {
		dir := configMap(t, mode)
		c, err := Scan(dir, testInst, ScanOptions{})
		if err != nil || len(c.Scripts) != 1 {
			t.Fatalf("got %+v, %v", c, err)
		}
		switch got := c.Scripts[0].Refused; {
		case want == "" && got != nil:
			t.Errorf("%v: %v", mode, got)
		case want != "" && (got == nil || !strings.HasSuffix(got.Error(), fmt.Sprintf(want, dir))):
			t.Errorf("%v: got %v", mode, got)
		}
		c, err = Scan(dir, testInst, ScanOptions{AllowInsecure: true})
		if err != nil || len(c.Scripts) != 1 || c.Scripts[0].Refused != nil {
			t.Errorf("%v: got %+v, %v", mode, c, err)
		}
	}
}
