package proc

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// commandEnd is how long after its KILL a command counts as hanging in the
// kernel.
const commandEnd = 2 * time.Second

// Output runs a short command to its end, or until ctx is done, and returns
// what it wrote to stdout and stderr. A command that even KILL does not end is
// abandoned and reaped when it ends at last. argv[0] must be a path.
func Output(ctx context.Context, env []string, argv ...string) (string, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = env
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	if err := children.start(cmd); err != nil {
		return "", err
	}
	ended, await := make(chan error, 1), awaitEnd
	go func() {
		await(cmd.Process.Pid)
		ended <- children.wait(cmd)
	}()
	select {
	case err := <-ended:
		return out.String(), err
	case <-ctx.Done():
	}
	select {
	case err := <-ended:
		return out.String(), err
	case <-time.After(commandEnd + cmd.WaitDelay):
		name := filepath.Base(argv[0])
		return "", fmt.Errorf("run %s: %s does not end", name, Process{PID: cmd.Process.Pid, Name: name})
	}
}
