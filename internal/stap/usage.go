package stap

import "time"

// Usage is what the living processes of a group use.
type Usage struct {
	CPU      time.Duration // user and system time
	Resident uint64        // bytes
	OSPIDs   []int         // in no order
}

// GroupUsage adds up what processes use, by process group. A child of Start
// leads its group: look it up by its process id. It may wait for a tenth of a
// second, see processes.
func GroupUsage() map[int]Usage {
	all := map[int]Usage{}
	for _, p := range processes() {
		u := all[p.group]
		u.CPU += p.cpu
		u.Resident += p.resident
		u.OSPIDs = append(u.OSPIDs, p.pid)
		all[p.group] = u
	}
	return all
}
