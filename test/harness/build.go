package harness

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// Version is what an exporter of this package reports as its version.
const Version = "test"

// built is the directory of the programs that Build has built, empty before the
// first.
var built struct {
	once sync.Once
	dir  string
	err  error
}

// Binary returns the path of the stap-exporter that the tests start. It
// is built once per test binary, with the race detector if that has it.
func Binary(t testing.TB) string {
	t.Helper()
	built.once.Do(func() { built.err = buildExporter() })
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "stap-exporter")
}

func buildExporter() (err error) {
	if built.dir, err = os.MkdirTemp("", "stap-exporter-test-"); err != nil {
		return err
	}
	args := []string{"-ldflags", "-X main.version=" + Version}
	if raceDetector {
		args = append(args, "-race")
	}
	return Build(filepath.Join(built.dir, "stap-exporter"), "stap-exporter/cmd/stap-exporter", args...)
}

// Build builds a program of this module. Under sudo the go command runs as
// the user who called it: what root builds must not get into the user's build
// cache.
func Build(output, pkg string, args ...string) error {
	cmd := exec.Command("go", append(append([]string{"build", "-buildvcs=false", "-o", output}, args...), pkg)...)
	cmd.Env = os.Environ()
	if !slices.Contains(args, "-race") {
		cmd.Env = append(cmd.Env, "CGO_ENABLED=0")
	}
	if uid := os.Getenv("SUDO_UID"); uid != "" && os.Geteuid() == 0 {
		caller, err := user.LookupId(uid)
		if err != nil {
			return fmt.Errorf("find the user who called sudo: %w", err)
		}
		id, err := strconv.Atoi(caller.Uid)
		gid, gidErr := strconv.Atoi(caller.Gid)
		if err = errors.Join(err, gidErr, os.Chown(filepath.Dir(output), id, gid)); err != nil {
			return err
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(id), Gid: uint32(gid)}}
		cmd.Env = append(cmd.Env, "HOME="+caller.HomeDir)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}
