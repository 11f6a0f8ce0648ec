package proc

import (
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Selector selects the processes of one run, or of several. It never selects
// the calling process.
type Selector struct {
	Tag   func(tag string) bool // by run tag; not called with ""
	Group func(id int) bool     // by process group; nil: none
}

// Tagged selects the processes with the tag of one run.
func Tagged(tag string) Selector {
	return Selector{Tag: func(t string) bool { return t == tag }}
}

// Find returns the selected processes that live now.
//
// A process in the middle of an exec has no environment for a moment, and one
// that is being forked may be missed, so an empty result counts only when it
// comes twice, see End.
func (s Selector) Find() (found []Process) {
	for _, p := range All() {
		if p.PID != os.Getpid() && s.selects(p) {
			found = append(found, p)
		}
	}
	return found
}

func (s Selector) selects(p Process) bool {
	return s.Group != nil && s.Group(p.Group) || p.Tag != "" && s.Tag(p.Tag)
}

// signal sends sig to the process that was found as found, and to no later one
// with the same id.
func (s Selector) signal(found Process, sig syscall.Signal) {
	fd, err := unix.PidfdOpen(found.PID, 0)
	if err != nil {
		if !errors.Is(err, unix.ESRCH) {
			_ = syscall.Kill(found.PID, sig) // a kernel before 5.3
		}
		return
	}
	defer func() { _ = unix.Close(fd) }()
	// The descriptor refers to one process. If that one is selected now, the
	// signal reaches it or nothing.
	if p, ok := Read(found.PID); ok && s.selects(p) {
		_ = unix.PidfdSendSignal(fd, sig, nil, 0) // what it does not reach is found again
	}
}

// End sends TERM to all selected processes, KILL after grace to the remaining
// ones, and returns when none is left, or killGrace later. With a grace of 0 it
// sends KILL at once, and so it does when kill is closed. It returns every
// process that it found, and the remaining ones.
func (s Selector) End(kill <-chan struct{}, grace, killGrace time.Duration) (found, remaining []Process) {
	known := map[int]bool{}
	termLimit := time.Now().Add(grace)
	// counts from the first KILL: on a busy machine one scan can take longer
	// than both times
	var killLimit time.Time
	empty := 0
	for pauses := NewPauses(5*time.Millisecond, 50*time.Millisecond); ; time.Sleep(pauses.Next()) {
		remaining = s.Find()
		if len(remaining) == 0 {
			if empty++; empty == 2 {
				return found, nil
			}
			continue
		}
		empty = 0
		now := time.Now()
		hard := !now.Before(termLimit)
		select {
		case <-kill:
			hard = true
		default:
		}
		switch {
		case hard && killLimit.IsZero():
			killLimit = now.Add(killGrace)
		case hard && now.After(killLimit):
			return found, remaining
		}
		for _, p := range remaining {
			if !known[p.PID] {
				known[p.PID] = true
				found = append(found, p)
				if !hard {
					s.signal(p, syscall.SIGTERM)
				}
			}
			if hard {
				s.signal(p, syscall.SIGKILL)
			}
		}
	}
}
