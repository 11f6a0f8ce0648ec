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

// Version is the version that the exporter of Binary reports.
const Version = "test"

// built is what Binary has built.
var built struct {
	once sync.Once
	dir  string // empty before
	err  error
}

// Binary returns the path of the exporter that Start starts. It is built once
// per test binary, with the race detector if the tests have it.
func Binary(t testing.TB) string {
	t.Helper()
	SkipIfShort(t)
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

// Build builds a program of this module with more arguments of go build. Under
// sudo the go command runs as the calling user, whose build cache must have no
// files of root.
func Build(output, pkg string, args ...string) error {
	cmd := exec.Command("go", append(append([]string{"build", "-buildvcs=false", "-o", output}, args...), pkg)...)
	cmd.Env = os.Environ()
	if !slices.Contains(args, "-race") {
		cmd.Env = append(cmd.Env, "CGO_ENABLED=0")
	}
	if uid := os.Getenv("SUDO_UID"); uid != "" && os.Geteuid() == 0 {
		if err := runAs(cmd, uid, filepath.Dir(output)); err != nil {
			return err
		}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}

// runAs lets cmd run as a user, who gets the directory dir.
func runAs(cmd *exec.Cmd, uid, dir string) error {
	caller, err := user.LookupId(uid)
	if err != nil {
		return fmt.Errorf("find the user who called sudo: %w", err)
	}
	id, err := strconv.ParseUint(caller.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(caller.Gid, 10, 32)
	if err = errors.Join(err, gidErr, os.Chown(dir, int(id), int(gid))); err != nil {
		return err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(id), Gid: uint32(gid)}}
	cmd.Env = append(cmd.Env, "HOME="+caller.HomeDir)
	return nil
}
