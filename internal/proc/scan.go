package proc

import (
	"fmt"
	"maps"
	"os"
	"strconv"
	"time"
)

// Process is a living process, as one scan of /proc found it.
type Process struct {
	PID      int
	Name     string // at most 15 bytes, see proc(5)
	Group    int
	Tag      string // run tag; empty: it has none, or it cannot be read
	Started  string // start time in clock ticks since boot; with PID it identifies a process
	CPU      time.Duration
	Resident uint64 // bytes
}

// String names the process in a message.
func (p Process) String() string { return fmt.Sprintf("process %d (%s)", p.PID, p.Name) }

// Names returns the String of each process.
func Names(list []Process) (names []string) {
	for _, p := range list {
		names = append(names, p.String())
	}
	return names
}

// All returns the living processes, without zombies and threads of the kernel.
// The scan began after the call. It is shared: all callers that arrive while a
// scan runs get the result of the next one. All may wait for a tenth of a
// second. The result must not be changed.
func All() []Process { return scans.next() }

var scans = shared[[]Process]{do: newScanner().all}

// Read returns one process; false when it has ended.
func Read(pid int) (Process, bool) { return newScanner().one(pid) }

// Alive reports whether the process exists and has not begun to end. What was
// read from it to the end while it was alive was written completely, since a
// process that ends is exiting before it closes its files.
func Alive(pid int) bool {
	st, err := readStat(pid, make([]byte, statBuffer))
	return err == nil && !st.dead() && st.number(9)&exiting == 0
}

// clockTick is USER_HZ, which is 100 on every architecture that Go supports,
// see proc(5) and sysconf(3).
const clockTick = time.Second / 100

var pageSize = uint64(os.Getpagesize())

// scanner scans /proc again and again. It belongs to one goroutine at a time.
type scanner struct {
	known map[int]*sighting // by process id
	scans int
	buf   []byte
}

// sighting is what is known of a process since its last exec. Its tag is read
// once: an exec, which may change it, changes the addresses of the memory, too.
type sighting struct {
	started, memory string // start time, and see splitStat
	name, tag       string
	scan            int // the last one that found it
}

func newScanner() *scanner {
	return &scanner{known: map[int]*sighting{}, buf: make([]byte, statBuffer)}
}

func (s *scanner) all() (found []Process) {
	s.scans++
	begun := time.Now()
	for i, pid := range processIDs() {
		if i%scanSlice == scanSlice-1 {
			time.Sleep(min(time.Since(begun), longestRest))
			begun = time.Now()
		}
		if p, ok := s.one(pid); ok {
			found = append(found, p)
		}
	}
	maps.DeleteFunc(s.known, func(_ int, seen *sighting) bool { return seen.scan != s.scans })
	return found
}

// processIDs lists all processes, in no order.
func processIDs() (pids []int) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer func() { _ = dir.Close() }()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// one returns false for a process that has ended, and for a thread of the
// kernel.
func (s *scanner) one(pid int) (Process, bool) {
	st, err := readStat(pid, s.buf)
	if err != nil || st.dead() || st.number(9)&kernelThread != 0 {
		return Process{}, false
	}
	started, memory := st.field(22), st.memory
	seen := s.known[pid]
	if seen == nil || len(memory) == 0 || seen.memory != string(memory) || seen.started != string(started) {
		// unreadable for processes of other users
		environ, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
		seen = &sighting{started: string(started), tag: tagIn(environ)}
		if err == nil {
			seen.memory = string(memory)
		}
		s.known[pid] = seen
	}
	if seen.name != string(st.name) {
		seen.name = string(st.name)
	}
	seen.scan = s.scans
	return Process{
		PID:      pid,
		Name:     seen.name,
		Group:    int(st.number(5)),
		Tag:      seen.tag,
		Started:  seen.started,
		CPU:      time.Duration(st.number(14)+st.number(15)) * clockTick,
		Resident: st.number(24) * pageSize,
	}, true
}
