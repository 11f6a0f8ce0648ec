package stap

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

const (
	guardLockFD = 3 // where a guardian has the lock of its exporter's folder

	guardianTerm  = 1500 * time.Millisecond // between TERM and KILL
	guardianKill  = 2 * time.Second         // how long after KILL a process counts as left behind
	guardianSweep = 8 * time.Second         // how long unloading a module is tried again
	guardianSay   = time.Second             // how long writing the last log line may take
)

// guardian is a small process that outlives its exporter by as long as it takes
// to clean up.
type guardian struct {
	host Host // only what unloads and removes
	runs map[string]*guarded
}

// Guard is the guardian: it waits for the end of the exporter that started it,
// which shows in the end of the pipe that is its standard input, and ends and
// removes everything that the exporter had told it of and not taken back. It is
// called by this program when re-executed as Config.Guardian says, in the place
// of main. log gets a line at the end, and only when there was something to do.
//
// It has a session of its own and ignores the signals that end whole groups of
// processes, so that what ends the exporter does not end it: only KILL does,
// and then the exporter starts another. Where the kernel ends everything at
// once (process 1 of a container dies, a cgroup is killed) the next exporter's
// start does its work.
//
// When the pipe ends: TERM to the runs' process groups and to all that carry a
// run's mark (see markName), KILL after 1.5 s, then, for all runs at the same
// time, unload the module, remove the FIFO, the work folder and the probes that
// a killed stapbpf left. An error names what is left.
func Guard(log *zap.Logger) error {
	err := watchOver(log)
	if err != nil {
		say(func() { log.Error("guardian failed", zap.Error(err)) })
	}
	return err
}

// say writes to the log, which nobody may be reading any more.
func say(write func()) {
	said := make(chan struct{})
	go func() {
		defer close(said)
		write()
	}()
	select {
	case <-said:
	case <-time.After(guardianSay):
	}
}

func watchOver(log *zap.Logger) error {
	signal.Ignore(
		syscall.SIGTERM,
		syscall.SIGINT,
		syscall.SIGHUP,
		syscall.SIGPIPE,
		syscall.SIGQUIT,
		syscall.SIGUSR1,
		syscall.SIGUSR2,
	)
	unix.CloseOnExec(guardLockFD) // its own short-lived children must not hold it
	// Another name than the exporter's: "killall -9 stap-exporter" goes by
	// this. Nothing depends on it.
	_ = os.WriteFile("/proc/self/comm", []byte("guardian"), 0)
	// The id is for people; what counts is that the descriptor stays open. So
	// no os.File, which the garbage collector would close.
	if _, err := unix.Pwrite(guardLockFD, fmt.Appendf(nil, "%-10d\n", os.Getpid()), 0); err != nil {
		return fmt.Errorf("write guardian's lock: %w", err)
	}
	g := guardian{runs: map[string]*guarded{}}
	if err := g.listen(os.Stdin); err != nil {
		return fmt.Errorf("listen to the exporter: %w", err)
	}
	if len(g.runs) == 0 {
		return nil
	}
	begun := time.Now()
	ended, left := g.clean()
	say(func() {
		log.Warn(
			"the exporter died, its guardian ended its scripts",
			zap.Strings("modules", slices.Sorted(maps.Keys(g.runs))),
			zap.Strings("processes", names(ended)),
			zap.Duration("took", time.Since(begun)),
		)
	})
	if len(left) > 0 {
		return errors.New("clean up after the exporter: left behind: " + strings.Join(left, "; "))
	}
	return nil
}

// listen keeps runs as the exporter tells. It returns nil at the end of the
// pipe only. A last line that is not complete was never told: what it is about
// has not begun.
func (g *guardian) listen(pipe io.Reader) error {
	lines := bufio.NewReader(pipe)
	for {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := g.told(line); err != nil {
			return fmt.Errorf("line %q: %w", line, err)
		}
	}
}

func (g *guardian) told(line string) (err error) {
	var module, work string
	switch word, _, _ := strings.Cut(line, " "); word {
	case "setup":
		cfg := &g.host.cfg
		cfg.SweepWait, g.host.cache = guardianSweep, &moduleCache{}
		_, err = fmt.Sscanf(
			line,
			"setup %q %q %q %q %q %q\n",
			&g.host.tools.staprun,
			&cfg.Modules,
			&cfg.Roots.FIFO,
			&g.host.system.tracing,
			&cfg.Dir,
			&g.host.cache.dir,
		)
	case "run":
		_, err = fmt.Sscanf(line, "run %q %q\n", &module, &work)
		g.runs[module] = &guarded{work: work, groups: map[int]bool{}}
	case "group":
		var pid int
		var ours bool
		_, err = fmt.Sscanf(line, "group %q %d %t\n", &module, &pid, &ours)
		if run := g.runs[module]; run != nil {
			run.groups[pid] = ours
		}
	case "end":
		_, err = fmt.Sscanf(line, "end %q\n", &module)
		delete(g.runs, module)
	default:
		err = errors.New("unknown word")
	}
	return err
}

// clean ends and removes everything. It returns the processes that it had to
// end, and what is left, by name.
func (g *guardian) clean() (ended []member, left []string) {
	works, groups := map[string]bool{}, map[int]bool{}
	var pids []int
	for _, run := range g.runs {
		works[run.work] = true
		for pid, ours := range run.groups {
			pids = append(pids, pid)
			if ours {
				groups[pid] = true
			}
		}
	}
	w := wanted{mark: func(work string) bool { return works[work] }, group: func(id int) bool { return groups[id] }}
	ended, stay := w.end(guardianTerm, guardianKill, nil)
	left = names(stay)
	for _, m := range ended {
		pids = append(pids, m.pid)
	}
	g.host.removeTemporary()
	runs := map[string]string{}
	for module, run := range g.runs {
		runs[module] = run.work
	}
	return ended, append(left, g.host.sweepAll(runs, pids)...)
}

// sweepAll sweeps many runs (work folders by module) at the same time, and the
// probes of processes that have ended. It returns what it could not remove.
func (h *Host) sweepAll(works map[string]string, pids []int) (left []string) {
	var mu sync.Mutex
	var all sync.WaitGroup
	do := func(sweep func() []string) {
		all.Go(func() {
			names := sweep()
			mu.Lock()
			defer mu.Unlock()
			left = append(left, names...)
		})
	}
	do(func() []string { return h.system.removeProbes(pids, h.cfg.SweepWait) })
	for module, work := range works {
		do(func() []string { return h.sweep(module, work) })
	}
	all.Wait()
	slices.Sort(left)
	return left
}
