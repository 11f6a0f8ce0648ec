package proc

import "time"

// Usage is what the living processes of a group use.
type Usage struct {
	CPU      time.Duration // user and system time
	Resident uint64        // bytes
	OSPIDs   []int         // in no order
}

// GroupUsage adds up what processes use, by process group. A Child leads its
// group, so its process id is the key. GroupUsage may wait for a tenth of a
// second, see All.
func GroupUsage() map[int]Usage {
	all := map[int]Usage{}
	for _, p := range All() {
		u := all[p.Group]
		u.CPU += p.CPU
		u.Resident += p.Resident
		u.OSPIDs = append(u.OSPIDs, p.PID)
		all[p.Group] = u
	}
	return all
}
