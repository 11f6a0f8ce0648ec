package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// child is a server under test, with the processes that it started.
type child struct {
	name    string
	address string
	// to listening: a server of bench/serve as it says itself, another from its
	// start to its first reply
	startTime      time.Duration
	cmd            *exec.Cmd
	leavesChildren bool // it leaves processes behind when it is told to end
}

// stopTimeout is how long a server may take to end.
const stopTimeout = 30 * time.Second

// start starts a server in the folder dir; empty: this program's. stop has to
// be called. out and errs may be nil.
func start(ctx context.Context, name, dir string, out, errs io.Writer, args ...string) (*child, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, errs
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	// Should this program be killed, its servers are to end, too.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return &child{name: name, cmd: cmd}, nil
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
		return nil, fmt.Errorf("start %s: no address on its stdout: %w", name, err)
	}
	c.address, c.startTime = ready.Address, ready.Took
	return c, nil
}

// stop ends the server and waits until it is gone.
func (c *child) stop() {
	var descendants []int
	if c.leavesChildren {
		descendants = processTree(c.cmd.Process.Pid)[1:]
	}
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(stopTimeout, func() { _ = c.cmd.Process.Kill() })
	defer kill.Stop()
	_ = c.cmd.Wait()
	for _, osPID := range descendants {
		_ = syscall.Kill(osPID, syscall.SIGTERM)
	}
}

// usage is what a server's processes have used, and hold.
type usage struct {
	cpu      time.Duration
	resident int64 // bytes
	// the same, but pages that several processes share are counted in parts
	// (Pss): what all of them together really take
	shared int64
}

// use reads it from /proc, for the server and its children, as far as they are
// there now.
func (c *child) usage() (sum usage, err error) {
	for _, osPID := range processTree(c.cmd.Process.Pid) {
		dir := filepath.Join("/proc", strconv.Itoa(osPID))
		status, err := os.ReadFile(filepath.Join(dir, "status"))
		if err != nil {
			continue // it has ended
		}
		sum.resident += kilobytesOf(status, "VmRSS")
		rollup, _ := os.ReadFile(filepath.Join(dir, "smaps_rollup"))
		sum.shared += kilobytesOf(rollup, "Pss")
		// schedstat counts nanoseconds where stat counts hundredths of seconds.
		tasks, _ := filepath.Glob(filepath.Join(dir, "task/*/schedstat"))
		for _, file := range tasks {
			text, err := os.ReadFile(file)
			if err != nil {
				continue
			}
			n, _ := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
			sum.cpu += time.Duration(n)
		}
	}
	if sum.resident == 0 {
		return sum, fmt.Errorf("%s is not running", c.name)
	}
	return sum, nil
}

// kilobytesOf finds a value in a file of /proc and returns it in bytes.
func kilobytesOf(text []byte, name string) int64 {
	for line := range strings.Lines(string(text)) {
		if key, value, _ := strings.Cut(line, ":"); key == name {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return n << 10
		}
	}
	return 0
}

// processTree lists a process and all that descend from it.
func processTree(root int) []int {
	parents := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		osPID, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		parent, _ := strconv.Atoi(fields[1])
		parents[parent] = append(parents[parent], osPID)
	}
	list := []int{root}
	for i := 0; i < len(list); i++ {
		list = append(list, parents[list[i]]...)
	}
	return list
}
