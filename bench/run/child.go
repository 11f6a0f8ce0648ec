package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// child is a server under test.
type child struct {
	name    string
	address string
	took    time.Duration // from exec to listening, as the server has it
	cmd     *exec.Cmd
}

// startServe starts bench/serve and waits until it listens. Stop has to be called.
func (b *bench) startServe(ctx context.Context, name string, args ...string) (*child, error) {
	if b.profile != "" {
		base := b.profile + "." + name
		args = append(args, "-cpuprofile", base+".cpu", "-mutexprofile", base+".mutex", "-memprofile", base+".allocs")
	}
	cmd := exec.CommandContext(ctx, b.serve, args...)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	c := &child{name: name, cmd: cmd}
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
		return nil, fmt.Errorf("start %s: no address on its stdout: %w", name, err)
	}
	c.address, c.took = ready.Address, ready.Took
	return c, nil
}

const stopTimeout = 30 * time.Second

// stop ends the server and waits until it is gone.
func (c *child) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(stopTimeout, func() { _ = c.cmd.Process.Kill() })
	defer kill.Stop()
	_ = c.cmd.Wait()
}

// usage is what a process has used, and holds.
type usage struct {
	cpu      time.Duration
	resident int64 // bytes
	peak     int64
}

// ticksPerSecond is USER_HZ: 100 on every Linux that Go knows.
const ticksPerSecond = 100

// use reads it from /proc.
func (c *child) use() (u usage, err error) {
	dir := "/proc/" + strconv.Itoa(c.cmd.Process.Pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return u, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	for _, f := range fields[11:13] { // utime and stime, 14 and 15 of proc(5)
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return u, err
		}
		u.cpu += time.Duration(n) * time.Second / ticksPerSecond
	}
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return u, err
	}
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(line, ":")
		n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch {
		case err != nil:
		case key == "VmRSS":
			u.resident = n << 10
		case key == "VmHWM":
			u.peak = n << 10
		}
	}
	return u, nil
}
