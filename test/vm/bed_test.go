//go:build vm

package vm

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// bed is the guest that build has built, and what a run shares with it.
type bed struct {
	t     *testing.T
	guest string // directory of root/, root.img, vmlinuz, initrd.gz, release
	in    string // /in of the guest, read-only there
	out   string // /out of the guest
}

// newBed builds the guest unless it exists, and fills /in. It skips the test
// where the host cannot install qemu.
func newBed(t *testing.T) *bed {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("building the guest needs root: use make test-vm")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	cache = filepath.Join(cache, "stap-exporter-vm")
	build := exec.Command("./build", cache)
	build.Stderr = os.Stderr
	out, err := build.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 77 {
		t.Skip("SKIPPED: this host cannot install qemu, so nothing was tested with kernel modules")
	}
	if err != nil {
		t.Fatalf("build guest: %v", err)
	}
	runs := filepath.Join(cache, "runs")
	if err := os.MkdirAll(runs, 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(runs, "") //nolint:usetesting // kept when the test fails
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{
		t:     t,
		guest: strings.TrimSpace(string(out)),
		in:    filepath.Join(dir, "in"),
		out:   filepath.Join(dir, "out"),
	}
	for _, d := range []string{dir, b.in, b.out, filepath.Join(b.in, "ko")} {
		if err := errors.Join(os.MkdirAll(d, 0o755), os.Chmod(d, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			fmt.Printf("test/vm: kept console, kernel log and output of the guest in %s\n", b.out)
			_ = os.RemoveAll(b.in)
			return
		}
		_ = os.RemoveAll(dir)
	})
	b.programs()
	b.scripts()
	return b
}

// programs builds the static exporter, the scenarios and the handover into /in.
func (b *bed) programs() {
	b.t.Helper()
	b.copy("start", filepath.Join(b.in, "start"), 0o755)
	b.project()
	exporter := []string{
		"build",
		"-trimpath",
		"-buildvcs=false",
		"-ldflags",
		"-s -w -X main.version=test-vm",
		"-o",
		b.in + "/stap-exporter",
		"stap-exporter/cmd/stap-exporter",
	}
	if *binary != "" {
		b.copy(*binary, filepath.Join(b.in, "stap-exporter"), 0o755)
		exporter = []string{"version"}
	}
	for _, args := range [][]string{
		exporter,
		{"build", "-trimpath", "-buildvcs=false", "-o", b.in + "/make", "stap-exporter/test/vm/handover"},
		{
			"test", "-c", "-tags", "vm", "-trimpath", "-buildvcs=false",
			"-o", b.in + "/scenarios", "stap-exporter/test/vm/guest",
		},
	} {
		cmd := exec.Command("go", args...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if os.Getenv("SUDO_UID") != "" {
			// what root builds must not be in the user's build cache
			cmd.Env = append(cmd.Env, "GOCACHE="+filepath.Join(filepath.Dir(b.guest), "go-build"))
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			b.t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// project copies what make install installs to /in/project, with a script that
// the guest can compile.
func (b *bed) project() {
	b.t.Helper()
	for _, file := range []string{
		"packaging/install",
		"packaging/default/stap-exporter",
		"packaging/man/stap-exporter.8",
		"packaging/systemd/stap-exporter.service",
		"packaging/systemd/stap-exporter.socket",
	} {
		to := filepath.Join(b.in, "project", file)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			b.t.Fatal(err)
		}
		b.copy(filepath.Join("../..", file), to, 0o755)
	}
	scripts := filepath.Join(b.in, "project", "scripts")
	if err := os.MkdirAll(scripts, 0o755); err != nil {
		b.t.Fatal(err)
	}
	b.copy("scripts/counting.stp", filepath.Join(scripts, "counting.stp"), 0o644)
}

func (b *bed) copy(from, to string, mode os.FileMode) {
	b.t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, text, mode)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// scripts copies test/vm/scripts and the project's scripts to /in/scripts, and
// their modules to /in/ko. Modules are kept in the guest's directory, and
// compiled again when their script has changed.
func (b *bed) scripts() {
	b.t.Helper()
	files, _ := filepath.Glob("scripts/*.stp")
	shipped, _ := filepath.Glob("../../scripts/*.stp")
	if err := os.MkdirAll(filepath.Join(b.in, "scripts"), 0o755); err != nil {
		b.t.Fatal(err)
	}
	var two sync.WaitGroup
	slots := make(chan struct{}, 2)
	for _, file := range append(files, shipped...) {
		b.copy(file, filepath.Join(b.in, "scripts", filepath.Base(file)), 0o644)
		two.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if err := b.module(file); err != nil {
				b.t.Error(err)
			}
		})
	}
	two.Wait()
	if b.t.Failed() {
		b.t.FailNow()
	}
	// The results of stap's probes of the kernel's headers, see realMake in
	// package guest.
	if found, _ := filepath.Glob(filepath.Join(b.guest, "root/root/.systemtap/cache/*/stapconf_*.h")); len(found) > 0 {
		b.copy(found[0], filepath.Join(b.in, "stapconf.h"), 0o644)
	}
}

// module compiles a script in the guest's root tree, with the options of a
// first line "// stap: OPTIONS".
func (b *bed) module(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	base, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".stp"), "-")
	var options []string
	if first, _, _ := bytes.Cut(text, []byte("\n")); bytes.HasPrefix(first, []byte("// stap: ")) {
		options = strings.Fields(string(first[len("// stap: "):]))
	}
	kept := filepath.Join(b.guest, "ko", fmt.Sprintf("%s-%.6x.ko", base, sha256.Sum256(text)))
	if _, err := os.Stat(kept); err != nil {
		release, err := os.ReadFile(filepath.Join(b.guest, "release"))
		if err != nil {
			return err
		}
		work, err := os.MkdirTemp(filepath.Join(b.guest, "root", "tmp"), "")
		if err != nil {
			return err
		}
		defer os.RemoveAll(work)
		if err := os.WriteFile(filepath.Join(work, "s.stp"), text, 0o600); err != nil {
			return err
		}
		fmt.Printf("test/vm: compiling %s\n", filepath.Base(file))
		inside := filepath.Join("/tmp", filepath.Base(work))
		args := append(
			[]string{
				filepath.Join(b.guest, "root"),
				"env",
				"HOME=/root",
				"LC_ALL=C",
				"TMPDIR=" + inside,
				"SYSTEMTAP_RUNTIME=/usr/share/systemtap/runtime-patched",
				"sh",
				"-c",
				`cd "$0" && exec stap "$@" s.stp`,
				inside,
				"-w",
				"-r",
				strings.TrimSpace(string(release)),
				"-p4",
				"-m",
				"module",
			},
			options...)
		if out, err := exec.Command("chroot", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("compile %s: %w\n%s", file, err, out)
		}
		if err := errors.Join(
			os.MkdirAll(filepath.Dir(kept), 0o755),
			os.Rename(filepath.Join(work, "module.ko"), kept),
		); err != nil {
			return err
		}
	}
	return os.Link(kept, filepath.Join(b.in, "ko", base+".ko"))
}
