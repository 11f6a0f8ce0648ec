package chaos

import (
	"fmt"
	"sync"
	"time"
)

// maxFaults are kept; the others are counted.
const maxFaults = 40

// ledger has what a run observed. Its methods may be called from any goroutine.
type ledger struct {
	mu       sync.Mutex
	requests map[string]map[string]int // by kind and outcome
	happened map[string]int            // events by kind
	faults   []string                  // the first ones
	more     int                       // number of the others
	took     [phases][]time.Duration   // scrapes of healthy scripts, from the time when due
}

func (l *ledger) init() {
	l.requests, l.happened = map[string]map[string]int{}, map[string]int{}
}

func (l *ledger) count(kind, outcome string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.requests[kind] == nil {
		l.requests[kind] = map[string]int{}
	}
	l.requests[kind][outcome]++
}

func (l *ledger) event(kind string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.happened[kind]++
}

// fault records what must not happen.
func (l *ledger) fault(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.faults) < maxFaults {
		l.faults = append(l.faults, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
		return
	}
	l.more++
}

func (l *ledger) faulty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.faults) > 0
}

func (l *ledger) scraped(phase int, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took[phase] = append(l.took[phase], took)
}
