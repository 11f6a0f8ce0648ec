package stap

import (
	"maps"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// process is a living process, as one look at /proc saw it.
type process struct {
	member
	group    int
	started  string // start time in clock ticks since boot
	mark     string // see markName; empty: it has none, or it cannot be seen
	cpu      time.Duration
	resident uint64 // bytes
}

// processes looks through /proc. The look began after the call, and others who
// called meanwhile get the same one: where many scripts end at a time, each of
// which must know that nobody of it is left, one look serves all who wait for
// the next. The result is not to be changed.
//
// Zombies do not count as living, their parent will look or not.
func processes() []process { return looks.next() }

var looks = shared[[]process]{do: newLooker().all}

// After a look there is a rest of restTimes as long as it took, at most
// longestRest, and up to mostRests such rests where look follows on look: a
// start or a stop does not wait for long, and however many there are, their
// looks take a seventeenth of a processor, or with thousands of processes a bit
// more. In a look there is a rest after each lookSlice processes, which take
// nearly 1 ms, of as long: others who want the processor get it.
const (
	restTimes   = 4
	longestRest = 25 * time.Millisecond
	mostRests   = 4
	lookSlice   = 64
)

// shared does what many want to be done after they asked, as rarely as it can:
// one at a time, with rests, and once for all who ask meanwhile.
type shared[T any] struct {
	do func() T

	mu      sync.Mutex
	running bool
	waiting *round[T] // the next; nil: nobody waits for it
}

type round[T any] struct {
	done   chan struct{}
	result T
}

func (s *shared[T]) next() T {
	s.mu.Lock()
	if s.waiting == nil {
		s.waiting = &round[T]{done: make(chan struct{})}
	}
	mine := s.waiting
	if !s.running {
		s.running = true
		go s.run()
	}
	s.mu.Unlock()
	<-mine.done
	return mine.result
}

// run ends after a rest in which nobody came.
func (s *shared[T]) run() {
	rests := time.Duration(0)
	for r := s.take(); r != nil; r = s.take() {
		begun := time.Now()
		r.result = s.do()
		close(r.done)
		rests = min(rests+1, mostRests)
		time.Sleep(rests * min(restTimes*time.Since(begun), longestRest))
	}
}

// take returns those who wait, nil when there are none and the running is over.
func (s *shared[T]) take() *round[T] {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.waiting
	s.waiting, s.running = nil, r != nil
	return r
}

// clockTick is USER_HZ, which is 100 on every architecture that Go runs on, see
// proc(5) and sysconf(3).
const clockTick = time.Second / 100

var pageSize = uint64(os.Getpagesize())

// looker looks through /proc again and again. It belongs to one goroutine at a
// time.
type looker struct {
	known map[int]*sighting // by process id
	looks int
	buf   []byte
}

// sighting is what is known of a process since its last exec. Its mark is read
// once: an exec, which may give it another, gives it another memory, too.
type sighting struct {
	begun, memory string // start time, and see splitStat
	name, mark    string
	look          int // the last one that saw it
}

func newLooker() *looker { return &looker{known: map[int]*sighting{}, buf: make([]byte, statBuffer)} }

func (l *looker) all() (found []process) {
	l.looks++
	begun := time.Now()
	for i, pid := range processIDs() {
		if i%lookSlice == lookSlice-1 {
			time.Sleep(min(time.Since(begun), longestRest))
			begun = time.Now()
		}
		if p, ok := l.one(pid); ok {
			found = append(found, p)
		}
	}
	maps.DeleteFunc(l.known, func(_ int, s *sighting) bool { return s.look != l.looks })
	return found
}

// processIDs lists all processes, in no order.
func processIDs() (pids []int) {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer func() { _ = proc.Close() }()
	names, _ := proc.Readdirnames(-1)
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// one is false for a process that has ended, and for a thread of the kernel.
func (l *looker) one(pid int) (process, bool) {
	st, err := readStat(pid, l.buf)
	if err != nil || st.dead() || st.number(9)&kernelThread != 0 {
		return process{}, false
	}
	begun, memory := st.field(22), st.memory
	s := l.known[pid]
	if s == nil || len(memory) == 0 || s.memory != string(memory) || s.begun != string(begun) {
		// unreadable for those of other users
		environ, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
		s = &sighting{begun: string(begun), mark: markOf(environ)}
		if err == nil {
			s.memory = string(memory)
		}
		l.known[pid] = s
	}
	if s.name != string(st.name) {
		s.name = string(st.name)
	}
	s.look = l.looks
	return process{
		member:   member{pid, s.name},
		group:    int(st.number(5)),
		started:  s.begun,
		mark:     s.mark,
		cpu:      time.Duration(st.number(14)+st.number(15)) * clockTick,
		resident: st.number(24) * pageSize,
	}, true
}

// bootID identifies this boot of the machine.
var bootID = sync.OnceValue(func() string {
	text, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(text))
})

// lookAt looks at one process afresh.
func lookAt(pid int) (process, bool) { return newLooker().one(pid) }
