package stap

import (
	"bytes"
	"os"
	"strconv"
	"time"
)

// Usage is what the processes of a group use.
type Usage struct {
	CPU      time.Duration // user and system time, of the living
	Resident uint64        // bytes
	OSPIDs   []int         // of the living, in no order
}

// clockTick is USER_HZ, which is 100 on every architecture that Go runs on, see proc(5) and sysconf(3).
const clockTick = time.Second / 100

// GroupUsage goes once through /proc and adds up what processes use, by process group. A child of Start leads its group: look it up by its process id.
func GroupUsage() map[int]Usage {
	all := map[int]Usage{}
	page := uint64(os.Getpagesize())
	dirs, _ := os.ReadDir("/proc")
	for _, d := range dirs {
		osPID, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + d.Name() + "/stat")
		if err != nil {
			continue // it has ended
		}
		f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(f) < 22 {
			continue
		}
		field := func(i int) uint64 { // the number of the field in proc(5), from 3
			n, _ := strconv.ParseUint(string(f[i-3]), 10, 64)
			return n
		}
		group := int(field(5))
		u := all[group]
		u.CPU += time.Duration(field(14)+field(15)) * clockTick
		u.Resident += field(24) * page
		if state := f[0][0]; state != 'Z' && state != 'X' {
			u.OSPIDs = append(u.OSPIDs, osPID)
		}
		all[group] = u
	}
	return all
}
