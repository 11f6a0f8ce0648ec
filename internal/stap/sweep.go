package stap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// toolWait bounds one short command: staprun -d takes half a second, stap
// --version less.
const toolWait = 10 * time.Second

// sweep removes what a run of module left: the loaded module, the FIFO's
// folder, the work folder (with .ko, .bo and stap's temporary files). It must
// be called only while no process of the run is left. It returns what it could
// not remove, by name.
func (h *Host) sweep(module, work string) (left []string) {
	if err := h.unload(module); err != nil {
		left = append(left, fmt.Sprintf("module %s (%v)", module, err))
	}
	if err := removeFIFO(h.cfg.Roots.FIFO, module); err != nil {
		left = append(left, fmt.Sprintf("FIFO folder %s (%v)", filepath.Join(h.cfg.Roots.FIFO, module), err))
	}
	if err := os.RemoveAll(work); err != nil {
		left = append(left, fmt.Sprintf("work folder %s (%v)", work, err))
	}
	return left
}

// unload makes sure that the kernel does not hold the module. staprun -d
// refuses while it is still in use, so it is tried again for at most SweepWait.
func (h *Host) unload(module string) error {
	limit := time.Now().Add(h.cfg.SweepWait)
	for p := newPauses(50*time.Millisecond, 500*time.Millisecond); ; time.Sleep(p.next()) {
		loaded, err := isLoaded(h.cfg.Modules, module)
		if err != nil || !loaded {
			return err
		}
		if h.tools.staprun == "" {
			return fmt.Errorf("find staprun: %w", ErrNoStap)
		}
		ctx, cancel := context.WithTimeout(context.Background(), toolWait)
		// the list of modules tells whether it worked
		out, err := tool(ctx, h.tools.staprun, "-d", module)
		cancel()
		if err != nil && out == "" {
			out = err.Error() // not started, or hanging
		}
		if loaded, err := isLoaded(h.cfg.Modules, module); err == nil && !loaded {
			return nil
		}
		if time.Now().After(limit) {
			return fmt.Errorf("still loaded after staprun -d: %s", strings.Join(usefulTail(out, 0), "; "))
		}
	}
}

// isLoaded looks for module in the first column of the kernel's list. A kernel
// without modules has no list.
func isLoaded(list, module string) (bool, error) {
	text, err := os.ReadFile(list)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("read list of modules: %w", err)
	}
	for line := range bytes.Lines(text) {
		if name, _, _ := strings.Cut(string(line), " "); name == module {
			return true, nil
		}
	}
	return false, nil
}

// removeFIFO removes the folder that stapbpf made for module. /var/tmp is
// everybody's, so only a real folder of this process's user in a real folder of
// this process's user is touched.
func removeFIFO(root, module string) error {
	path := filepath.Join(root, module)
	if !ownFolder(root) {
		return nil // not ours, so nothing of ours is in it
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if !ownFolder(path) {
		return errors.New("not a folder of this user")
	}
	return os.RemoveAll(path)
}

// ownFolder tells whether path is a real folder, no symlink, of this process's
// user.
func ownFolder(path string) bool {
	var st syscall.Stat_t
	err := syscall.Lstat(path, &st)
	return err == nil && st.Mode&syscall.S_IFMT == syscall.S_IFDIR && int(st.Uid) == os.Geteuid()
}

// toolEnd is how long after its KILL a command counts as one that hangs in the
// kernel.
const toolEnd = 2 * time.Second

// tool runs a short command to its end, or until ctx ends, and returns what it
// wrote. One that even KILL does not end is left to be reaped whenever that is.
func tool(ctx context.Context, argv ...string) (string, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = environment(os.Environ(), os.TempDir(), "")
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	if err := own.start(cmd); err != nil {
		return "", err
	}
	ended, await := make(chan error, 1), awaitEnd
	go func() {
		await(cmd.Process.Pid)
		ended <- own.wait(cmd)
	}()
	select {
	case err := <-ended:
		return out.String(), err
	case <-ctx.Done():
	}
	select {
	case err := <-ended:
		return out.String(), err
	case <-time.After(toolEnd + cmd.WaitDelay):
		return "", fmt.Errorf(
			"run %s: %s does not end",
			filepath.Base(argv[0]),
			member{cmd.Process.Pid, filepath.Base(argv[0])},
		)
	}
}
