package stap

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// markName is the environment variable that every child of a run gets: its work
// folder, which no other run of any exporter on this machine has. Descendants
// inherit it, also those that leave the process group or the session, so that
// they can be found in /proc/PID/environ.
//
// Who starts a program with an empty environment (env -i) or as another user
// (set-user-id programs show their environment to root only) is not found by
// it, only by the group.
const markName = "STAP_EXPORTER_RUN"

// marked returns env with the mark of the run that works in work, and no other.
func marked(env []string, work string) []string {
	return append(unmarked(env), markName+"="+work)
}

func unmarked(env []string) []string {
	kept := make([]string, 0, len(env)+1)
	for _, kv := range env {
		if !strings.HasPrefix(kv, markName+"=") {
			kept = append(kept, kv)
		}
	}
	return kept
}

// markOf returns the mark in the text of a /proc/PID/environ, "" when there is
// none.
func markOf(environ []byte) string {
	name := []byte(markName + "=")
	for kv := range bytes.SplitSeq(environ, []byte{0}) {
		if mark, ok := bytes.CutPrefix(kv, name); ok {
			return string(mark)
		}
	}
	return ""
}

// wanted says which processes belong to a run, or to several. It never wants
// the process that asks.
type wanted struct {
	mark  func(work string) bool // of those with a mark; not called with ""
	group func(id int) bool      // by their process group; nil: none
}

// markedWith wants the processes with the mark of one run.
func markedWith(work string) wanted {
	return wanted{mark: func(w string) bool { return w == work }}
}

// find returns those that live now.
//
// A process that is in the middle of an exec has no environment for a moment,
// and one that is being forked may be missed, so an empty answer counts only
// when it is given twice, see end.
func (w wanted) find() (found []process) {
	for _, p := range processes() {
		if p.pid != os.Getpid() && w.wants(p) {
			found = append(found, p)
		}
	}
	return found
}

func (w wanted) wants(p process) bool {
	return w.group != nil && w.group(p.group) || p.mark != "" && w.mark(p.mark)
}

// signal sends sig to the process that m was found as, and to no later one with
// its id.
func (w wanted) signal(m process, sig syscall.Signal) {
	fd, err := unix.PidfdOpen(m.pid, 0)
	if err != nil {
		if !errors.Is(err, unix.ESRCH) {
			_ = syscall.Kill(m.pid, sig) // a kernel before 5.3
		}
		return
	}
	defer func() { _ = unix.Close(fd) }()
	// The descriptor holds on to one process: if that is wanted now, the signal
	// reaches it or nobody.
	if p, ok := lookAt(m.pid); ok && w.wants(p) {
		_ = unix.PidfdSendSignal(fd, sig, nil, 0) // what it does not reach is found again
	}
}

// end TERMs all that are wanted, KILLs after grace who is left, and returns
// when nobody is, or after killGrace more. With a grace of 0 it KILLs at once,
// and so it does when kill is closed. It returns everyone it saw, and who is
// left.
func (w wanted) end(grace, killGrace time.Duration, kill <-chan struct{}) (seen, left []process) {
	known := map[int]bool{}
	termLimit := time.Now().Add(grace)
	// counts from the first KILL: on a busy machine one look at all processes
	// can outlast both times
	var killLimit time.Time
	empty := 0
	for p := newPauses(5*time.Millisecond, 50*time.Millisecond); ; time.Sleep(p.next()) {
		left = w.find()
		if len(left) == 0 {
			if empty++; empty == 2 {
				return seen, nil
			}
			continue
		}
		empty = 0
		now := time.Now()
		hard := !now.Before(termLimit) || isClosed(kill)
		switch {
		case hard && killLimit.IsZero():
			killLimit = now.Add(killGrace)
		case hard && now.After(killLimit):
			return seen, left
		}
		for _, m := range left {
			if !known[m.pid] {
				known[m.pid] = true
				seen = append(seen, m)
				if !hard {
					w.signal(m, syscall.SIGTERM)
				}
			}
			if hard {
				w.signal(m, syscall.SIGKILL)
			}
		}
	}
}

func names(list []process) (names []string) {
	for _, m := range list {
		names = append(names, m.String())
	}
	return names
}
