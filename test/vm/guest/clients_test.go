//go:build vm

package guest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// raise makes n at least v.
func raise(n *atomic.Int64, v int64) {
	for {
		old := n.Load()
		if v <= old || n.CompareAndSwap(old, v) {
			return
		}
	}
}

// Sixteen clients read one script back to back: every reply is whole and of a
// probe run that began after its request, and they share the runs.
func manyClients(t *testing.T) {
	e := start(t, setup{scripts: map[string]string{"counting.stp": text(t, "counting")}})
	e.metrics("/counting.stp")
	var newest, replies, slowest atomic.Int64
	var clients sync.WaitGroup
	end := time.Now().Add(20 * time.Second)
	for range 16 {
		clients.Go(func() {
			for time.Now().Before(end) {
				before := newest.Load()
				p, err := e.ask("/counting.stp", "")
				m := countingText.FindStringSubmatch(p.body)
				if err != nil || p.code != 200 || m == nil {
					t.Errorf("reply is not one whole text: %v %d %q", err, p.code, p.body)
					return
				}
				seq := seqOf(t, p.body)
				if seq <= before {
					t.Errorf("reply of run %d, though run %d was over before the request", seq, before)
					return
				}
				raise(&newest, seq)
				raise(&slowest, int64(p.took))
				replies.Add(1)
			}
		})
	}
	clients.Wait()
	note(
		t,
		"%d replies from %d probe runs, slowest %s",
		replies.Load(),
		newest.Load(),
		seconds(time.Duration(slowest.Load())),
	)
	// Under emulation a reply costs far more than a probe run, so that there
	// are few replies to share one.
	if newest.Load()*5 > replies.Load()*4 {
		t.Errorf("%d probe runs for %d replies", newest.Load(), replies.Load())
	}
	e.endsClean()
}

// A reader of somebody else sits on the file: requests get their 504 in time,
// the script can be stopped, and goes on when the reader leaves.
func foreignReader(t *testing.T) {
	name := "counting.stp"
	e := start(t, setup{
		scripts: map[string]string{name: text(t, "counting"), "counting-other.stp": text(t, "counting")},
		flags:   []string{"--script.read-timeout=2s"},
	})
	e.metrics("/" + name)
	e.metrics("/counting-other.stp")
	file := filepath.Join("/proc/systemtap", e.module(name), "__prometheus")
	sit := func() *os.File {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	f := sit()
	begun := time.Now()
	for range 2 {
		if p := e.get("/"+name, ""); p.code != 504 {
			t.Errorf("%d %q", p.code, p.body)
		}
		if p := e.get("/counting-other.stp", ""); p.code != 200 {
			t.Errorf("the other script: %d %q", p.code, p.body)
		}
	}
	note(t, "two 504s in %s", seconds(time.Since(begun)))
	f.Close()
	if p := e.get("/"+name, ""); p.code != 200 || !countingText.MatchString(p.body) {
		t.Errorf("after it left: %d %q", p.code, p.body)
	}

	f = sit()
	begun = time.Now()
	code := e.end(syscall.SIGTERM)
	note(t, "TERM while it sits: exit code %d after %s", code, seconds(time.Since(begun)))
	left := e.leftovers()
	f.Close()
	if code == 0 && len(left) > 0 {
		t.Errorf("exit code 0, and left: %q", left)
	}
	if code != 0 && !strings.Contains(e.logged(), "left residue") {
		t.Errorf("exit code %d without naming what is left (%q)", code, left)
	}
	for _, m := range modules(e.prefix()) { // held by our reader, so ours to clean up
		_ = exec.Command("staprun", "-d", m).Run()
	}
}

// The exporter's own reads are over before the script gets its TERM, under
// load: strace sees every open, close and kill.
func closedBeforeStop(t *testing.T) {
	name := "counting.stp"
	trace := filepath.Join(tempDir(t), "trace")
	e := start(t, setup{
		scripts: map[string]string{name: text(t, "counting")},
		before: []string{
			"strace",
			"-D",
			"-f",
			"--seccomp-bpf",
			"-q",
			"-e",
			"trace=openat,close,kill",
			"-e",
			"signal=none",
			"-o",
			trace,
		},
	})
	e.metrics("/" + name)
	var clients sync.WaitGroup
	var replies atomic.Int64
	for range 4 {
		clients.Go(func() {
			for {
				if _, err := e.ask("/"+name, ""); err != nil {
					return
				}
				replies.Add(1)
			}
		})
	}
	eventually(t, "there is load", func() bool { return replies.Load() > 40 })
	e.endsClean()
	clients.Wait()

	opens, atTERM, seen := readTrace(t, trace)
	note(t, "%d opens, %d open at the TERM", opens, atTERM)
	if opens < 3 || !seen {
		t.Errorf("%d opens, TERM seen: %v", opens, seen)
	}
	if atTERM != 0 {
		t.Errorf("%d readers held the file at the TERM", atTERM)
	}
}

var (
	opened = regexp.MustCompile(`openat\(.*__prometheus.*= (\d+)$|<\.\.\. openat resumed>\)\s+= (\d+)$`)
	begins = regexp.MustCompile(`^(\d+)\s+openat\(.*__prometheus.*<unfinished`)
	closes = regexp.MustCompile(`close\((\d+)`)
	terms  = regexp.MustCompile(`kill\(-\d+, SIGTERM`)
)

// readTrace counts opens of procfs files, and how many were held when the first
// TERM was sent to a group.
func readTrace(t *testing.T, file string) (opens, atTERM int, seen bool) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	held, waiting := map[string]bool{}, map[string]bool{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		thread, _, _ := strings.Cut(line, " ")
		switch {
		case begins.MatchString(line):
			waiting[thread] = true
		case opened.MatchString(line):
			m := opened.FindStringSubmatch(line)
			if m[1] == "" && !waiting[thread] {
				break
			}
			delete(waiting, thread)
			opens++
			held[m[1]+m[2]] = true
		case closes.MatchString(line):
			delete(held, closes.FindStringSubmatch(line)[1])
		case terms.MatchString(line):
			if !seen {
				seen, atTERM = true, len(held)+len(waiting)
			}
		}
	}
	return opens, atTERM, seen
}

// Scripts come and go by keepalive: in the end there is not a trace of them.
func keepaliveChurn(t *testing.T) {
	const scripts, starts = 20, 200
	files := map[string]string{}
	for i := range scripts {
		files[fmt.Sprintf("counting-%02d.stp", i)] = text(t, "counting")
	}
	e := start(t, setup{scripts: files, flags: []string{"-k", "1"}})
	before := descriptors(t, e.pid())
	begun := time.Now()
	var workers sync.WaitGroup
	work := make(chan string)
	for range 3 {
		workers.Go(func() {
			for name := range work {
				for end := time.Now().Add(5 * time.Minute); ; {
					p, err := e.ask("/"+name, patience)
					if err == nil && p.code == 200 {
						break
					}
					if err != nil || p.code != 503 || time.Now().After(end) {
						t.Errorf("%s: %v %d %s", name, err, p.code, p.body)
						break
					}
				}
			}
		})
	}
	started := func() int { return strings.Count(e.logged(), `"state":"running"`) }
	for started() < starts {
		for name := range files {
			work <- name
		}
	}
	close(work)
	workers.Wait()
	eventually(t, "all are stopped", func() bool {
		list := e.get("/", "").body
		return !strings.Contains(list, "running") && !strings.Contains(list, "stopping")
	})
	note(t, "%d starts of %d scripts in %s", started(), scripts, seconds(time.Since(begun)))
	e.nothingLeft()
	if after := descriptors(t, e.pid()); after > before+3 {
		t.Errorf("%d descriptors, %d before", after, before)
	}
	e.endsClean()
}

func descriptors(t *testing.T, pid int) int {
	t.Helper()
	client.CloseIdleConnections()
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}
