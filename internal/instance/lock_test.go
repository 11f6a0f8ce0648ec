package instance

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const secondEnv = "SCRIPT_TEST_SECOND"

// second is the life of another exporter: it takes the lock in dir, says how
// that went and keeps it until stdin ends.
func second(dir string) int {
	lock, err := testInst.Lock(dir)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("locked")
	_, _ = io.Copy(io.Discard, os.Stdin)
	lock.Release()
	return 0
}

// startSecond starts another exporter and returns what it said. end lets it end
// by itself (or kills it) and reaps it.
func startSecond(t *testing.T, dir string) (said string, osPID int, end func(kill bool)) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), secondEnv+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	end = func(kill bool) {
		if ended {
			return
		}
		ended = true
		if kill {
			_ = cmd.Process.Kill()
		}
		_ = stdin.Close()
		_ = cmd.Wait()
	}
	t.Cleanup(func() { end(true) })
	said, err = bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(said), cmd.Process.Pid, end
}

func mustLock(t *testing.T, dir string) *Lock {
	t.Helper()
	lock, err := testInst.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lock.Release)
	return lock
}

func TestLockAgainstAnotherProcess(t *testing.T) {
	for name, kill := range map[string]bool{"that ends": false, "that is killed": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			said, osPID, end := startSecond(t, dir)
			if said != "locked" {
				t.Fatal(said)
			}
			_, err := testInst.Lock(dir)
			if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d,", osPID)) ||
				!strings.Contains(err.Error(), "choose another port") {
				t.Errorf("got %v, want ErrLocked that names process %d", err, osPID)
			}
			end(kill)

			lock := mustLock(t, dir)
			said, _, end = startSecond(t, dir)
			if !strings.Contains(said, fmt.Sprintf("process %d,", os.Getpid())) {
				t.Errorf("the other process says %q", said)
			}
			end(false)
			lock.Release()
			if said, _, _ := startSecond(t, dir); said != "locked" {
				t.Errorf("after Release the other process says %q", said)
			}
		})
	}
}

func TestLockFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, testInst.ID+".lock")
	if err := os.WriteFile(path, []byte("4194304 and more than a number\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	lock := mustLock(t, dir)
	if b, err := os.ReadFile(path); string(b) != fmt.Sprintln(os.Getpid()) || err != nil {
		t.Errorf("lock file holds %q, %v", b, err)
	}
	// A second open is another flock, in the same process too.
	if _, err := testInst.Lock(dir); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v, want ErrLocked", err)
	}
	other := Instance{ID: "00000000"}
	otherLock, err := other.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	otherLock.Release()
	if info, err := os.Stat(filepath.Join(dir, other.ID+".lock")); err != nil || info.Mode() != 0o600 {
		t.Errorf("lock file is %v, %v", info, err)
	}
	lock.Release()
	lock.Release()
	if b, err := os.ReadFile(path); len(b) != 0 || err != nil {
		t.Errorf("after Release the lock file holds %q, %v", b, err)
	}
	mustLock(t, dir)
}

func TestLockWhileTheHolderIsUnknown(t *testing.T) {
	dir := t.TempDir()
	mustLock(t, dir)
	if err := os.Truncate(filepath.Join(dir, testInst.ID+".lock"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := testInst.Lock(dir); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("got %v, want ErrLocked by another process", err)
	}
}

func TestLockRefuses(t *testing.T) {
	if _, err := testInst.Lock(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: got %v", err)
	}
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	if err := errors.Join(
		os.WriteFile(target, []byte("keep"), 0o600),
		os.Symlink(target, filepath.Join(dir, testInst.ID+".lock")),
	); err != nil {
		t.Fatal(err)
	}
	if _, err := testInst.Lock(dir); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("symlink: got %v", err)
	}
	if b, _ := os.ReadFile(target); string(b) != "keep" {
		t.Errorf("the symlink's target now holds %q", b)
	}
}
