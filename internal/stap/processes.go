package stap

import (
	"os"
	"strconv"
	"sync"
)

// process is a living process, as one look at /proc saw it.
type process struct {
	member
	group int
	mark  string // see markName; empty: it has none, or it cannot be seen
}

// processes looks through /proc. The look began after the call, and others who called meanwhile get the same one: where many scripts end at a time, each of which must know that nobody of it is left, one look serves all who wait for the next. The result is not to be changed.
//
// Zombies do not count as living, their parent will look or not.
func processes() []process { return looks.next() }

var looks = shared[[]process]{do: lookAtAll}

// shared does what many want to be done after they asked, as rarely as it can: one at a time, and once for all who ask meanwhile.
type shared[T any] struct {
	do func() T

	mu      sync.Mutex
	running bool
	waiting *round[T] // of those who came while one was running; nil: nobody
}

type round[T any] struct {
	done   chan struct{}
	result T
}

func (s *shared[T]) next() T {
	s.mu.Lock()
	if s.running {
		if s.waiting == nil {
			s.waiting = &round[T]{done: make(chan struct{})}
		}
		mine := s.waiting
		s.mu.Unlock()
		<-mine.done
		return mine.result
	}
	s.running = true
	s.mu.Unlock()
	result := s.do()
	s.over()
	return result
}

// over lets those who came meanwhile have their turn.
func (s *shared[T]) over() {
	s.mu.Lock()
	r := s.waiting
	s.waiting, s.running = nil, r != nil
	s.mu.Unlock()
	if r == nil {
		return
	}
	go func() {
		r.result = s.do()
		close(r.done)
		s.over()
	}()
}

func lookAtAll() (found []process) {
	dirs, _ := os.ReadDir("/proc")
	for _, d := range dirs {
		if pid, err := strconv.Atoi(d.Name()); err == nil {
			if p, ok := lookAt(pid); ok {
				found = append(found, p)
			}
		}
	}
	return found
}

// lookAt is false for a process that has ended.
func lookAt(pid int) (process, bool) {
	proc := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(proc + "/stat")
	if err != nil {
		return process{}, false
	}
	name, state, group := parseStat(stat)
	if state == 'Z' || state == 'X' {
		return process{}, false
	}
	environ, _ := os.ReadFile(proc + "/environ") // unreadable for those of other users
	return process{member{pid, name}, group, markOf(environ)}, true
}
