package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// stopTimeout is how long a server may take to end.
const stopTimeout = 30 * time.Second

// child is a server under test, with the processes that it started.
type child struct {
	name    string
	address string
	// startTime is the time until it listened, as a server of bench/serve
	// reports it; of another server, the time until its first reply.
	startTime time.Duration
	cmd       *exec.Cmd
	ended     chan struct{} // closed when the process has ended
	// program, when not empty, is the executable whose processes usage counts;
	// else it counts the whole process tree.
	program string
	// leavesChildren: it does not end its children when it ends.
	leavesChildren bool
}

// start starts a server in the directory dir; empty: this program's. The caller
// must call stop. out and errs may be nil.
func start(ctx context.Context, name, dir string, out, errs io.Writer, args ...string) (*child, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, errs
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	// The servers end when this program is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	c := &child{name: name, cmd: cmd, ended: make(chan struct{})}
	go func() {
		defer close(c.ended)
		_ = cmd.Wait()
	}()
	return c, nil
}

// startServe starts bench/serve and waits until it listens.
func (b *bench) startServe(ctx context.Context, name string, args ...string) (*child, error) {
	if b.profile != "" {
		base := b.profile + "." + name
		args = append(args, "-cpuprofile", base+".cpu", "-mutexprofile", base+".mutex", "-memprofile", base+".allocs")
	}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer out.Close()
	c, err := start(ctx, name, "", in, os.Stderr, append([]string{b.serve}, args...)...)
	_ = in.Close()
	if err != nil {
		return nil, err
	}
	var ready struct {
		Address string
		Took    time.Duration
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &ready)
	}
	if err != nil {
		c.stop()
		return nil, fmt.Errorf("start %s: read its address: %w", name, err)
	}
	c.address, c.startTime = ready.Address, ready.Took
	return c, nil
}

// stop ends the server and waits for its end.
func (c *child) stop() {
	var children []int
	if c.leavesChildren {
		children = processTree(c.cmd.Process.Pid)[1:]
	}
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(stopTimeout, func() { _ = c.cmd.Process.Kill() })
	defer kill.Stop()
	<-c.ended
	for _, osPID := range children {
		_ = syscall.Kill(osPID, syscall.SIGTERM)
	}
}

// waitFor waits until the server replies with a 200 that has a body.
func (c *child) waitFor(ctx context.Context, path string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		body, err := get(ctx, "http://"+c.address+path)
		if err == nil && len(body) > 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s of %s: %w", path, c.name, err)
		case <-c.ended:
			return fmt.Errorf("wait for %s: %s ended: %v", path, c.name, c.cmd.ProcessState)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// get returns the body of a 200.
func get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.200q", resp.Status, text)
	}
	return text, err
}

// freeAddress returns an address on which nothing listens at the moment.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}
