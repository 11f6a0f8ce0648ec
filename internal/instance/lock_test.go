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

// secondEnv makes the test binary a second exporter. It holds the directory of
// the lock.
const secondEnv = "INSTANCE_TEST_SECOND"

// second takes the lock in dir, prints the result, and keeps the lock until
// stdin ends. It returns the exit code.
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

// startSecond starts a second exporter and returns what it printed. end closes
// its stdin, or kills it, and waits for its end.
func startSecond(t *testing.T, dir string) (line string, osPID int, end func(kill bool)) {
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
	line, err = bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line), cmd.Process.Pid, end
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
	for name, kill := range map[string]bool{"ends": false, "is killed": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			line, osPID, end := startSecond(t, dir)
			if line != "locked" {
				t.Fatal(line)
			}
			_, err := testInst.Lock(dir)
			if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d,", osPID)) ||
				!strings.Contains(err.Error(), "choose another port") {
				t.Errorf("got %v, want ErrLocked that names process %d", err, osPID)
			}
			end(kill)

			lock := mustLock(t, dir)
			line, _, end = startSecond(t, dir)
			if !strings.Contains(line, fmt.Sprintf("process %d,", os.Getpid())) {
				t.Errorf("the second process printed %q", line)
			}
			end(false)
			lock.Release()
			if line, _, _ := startSecond(t, dir); line != "locked" {
				t.Errorf("after Release the second process printed %q", line)
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
	// Each open has its own flock, also in the same process.
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

func TestLockOfUnknownProcess(t *testing.T) {
	dir := t.TempDir()
	mustLock(t, dir)
	if err := os.Truncate(filepath.Join(dir, testInst.ID+".lock"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := testInst.Lock(dir); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("got %v, want ErrLocked by another process", err)
	}
}

func TestLockErrors(t *testing.T) {
	if _, err := testInst.Lock(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: got %v", err)
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
