package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// usage is the CPU time and the memory of a server's processes.
type usage struct {
	cpu      time.Duration
	resident int64 // bytes
	// proportional is resident memory in which each page counts by the number
	// of processes that share it (Pss): what all of them together use.
	proportional int64
}

// usage reads /proc for the server and its children that run now. Only
// processes of c.program count, if that is set.
func (c *child) usage() (sum usage, err error) {
	for _, osPID := range processTree(c.cmd.Process.Pid) {
		dir := filepath.Join("/proc", strconv.Itoa(osPID))
		if exe, _ := os.Readlink(filepath.Join(dir, "exe")); c.program != "" && exe != c.program {
			continue
		}
		status, err := os.ReadFile(filepath.Join(dir, "status"))
		if err != nil {
			continue // it has ended
		}
		sum.resident += kilobytesOf(status, "VmRSS")
		rollup, _ := os.ReadFile(filepath.Join(dir, "smaps_rollup"))
		sum.proportional += kilobytesOf(rollup, "Pss")
		// schedstat counts nanoseconds, stat only hundredths of seconds.
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

// cpuPerReply returns the microseconds of CPU time between two usages, per
// reply.
func cpuPerReply(before, after usage, replies int64) float64 {
	return float64((after.cpu - before.cpu).Nanoseconds()) / 1000 / float64(max(1, replies))
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

// processTree returns a process, first, and all its descendants.
func processTree(root int) []int {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		osPID, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		parent, _ := strconv.Atoi(fields[1])
		children[parent] = append(children[parent], osPID)
	}
	list := []int{root}
	for i := 0; i < len(list); i++ {
		list = append(list, children[list[i]]...)
	}
	return list
}
