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

	"stap-exporter/test/harness"
)

// Sixteen clients request one script back to back. Every reply is complete and
// of a probe run that began after the request, and requests share runs.
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
				p, err := e.Ask("/counting.stp", "")
				m := harness.CountingText.FindStringSubmatch(p.Body)
				if err != nil || p.Code != 200 || m == nil {
					t.Errorf("reply is not one complete text: %v %d %q", err, p.Code, p.Body)
					return
				}
				seq := seqOf(t, p.Body)
				if seq <= before {
					t.Errorf("reply of run %d, but run %d was done before the request", seq, before)
					return
				}
				harness.Raise(&newest, seq)
				harness.Raise(&slowest, int64(p.Took))
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
	// Under emulation a reply takes far longer than a probe run, so that few
	// replies share one.
	if newest.Load()*5 > replies.Load()*4 {
		t.Errorf("%d probe runs for %d replies", newest.Load(), replies.Load())
	}
	e.stopClean()
}

// Another process has the procfs file open: requests get a 504 in time, and the
// script can be stopped, or continues when the file is closed.
func foreignReader(t *testing.T) {
	name := "counting.stp"
	e := start(t, setup{
		scripts: map[string]string{name: text(t, "counting"), "counting-other.stp": text(t, "counting")},
		flags:   []string{"--script.read-timeout=2s"},
	})
	e.metrics("/" + name)
	e.metrics("/counting-other.stp")
	file := filepath.Join("/proc/systemtap", e.module(name), "__prometheus")
	open := func() *os.File {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	f := open()
	begun := time.Now()
	for range 2 {
		if p := e.Get("/"+name, ""); p.Code != 504 {
			t.Errorf("%d %q", p.Code, p.Body)
		}
		if p := e.Get("/counting-other.stp", ""); p.Code != 200 {
			t.Errorf("the other script: %d %q", p.Code, p.Body)
		}
	}
	note(t, "two 504s in %s", seconds(time.Since(begun)))
	f.Close()
	if p := e.Get("/"+name, ""); p.Code != 200 || !harness.CountingText.MatchString(p.Body) {
		t.Errorf("after it closed: %d %q", p.Code, p.Body)
	}

	f = open()
	begun = time.Now()
	code := e.Stop(syscall.SIGTERM)
	note(t, "TERM while it is open: exit code %d after %s", code, seconds(time.Since(begun)))
	left := e.residue()
	f.Close()
	if code == 0 && len(left) > 0 {
		t.Errorf("exit code 0, and residue: %q", left)
	}
	if code != 0 && !strings.Contains(e.Log(), "left residue") {
		t.Errorf("exit code %d without naming the residue (%q)", code, left)
	}
	for _, m := range modules(e.prefix()) { // this test held it
		_ = exec.Command("staprun", "-d", m).Run()
	}
}

// Under load, the exporter's own reads have ended before the script gets its
// SIGTERM: strace records every open, close and kill.
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
				if _, err := e.Ask("/"+name, ""); err != nil {
					return
				}
				replies.Add(1)
			}
		})
	}
	eventually(t, "many replies", func() bool { return replies.Load() > 40 })
	e.stopClean()
	clients.Wait()

	opens, atTERM, seen := readTrace(t, trace)
	note(t, "%d opens, %d open at the TERM", opens, atTERM)
	if opens < 3 || !seen {
		t.Errorf("%d opens, TERM seen: %v", opens, seen)
	}
	if atTERM != 0 {
		t.Errorf("%d readers had the file open at the TERM", atTERM)
	}
}

var (
	opened = regexp.MustCompile(`openat\(.*__prometheus.*= (\d+)$|<\.\.\. openat resumed>\)\s+= (\d+)$`)
	begins = regexp.MustCompile(`^(\d+)\s+openat\(.*__prometheus.*<unfinished`)
	closes = regexp.MustCompile(`close\((\d+)`)
	terms  = regexp.MustCompile(`kill\(-\d+, SIGTERM`)
)

// readTrace counts the opens of procfs files, and the files open when the first
// SIGTERM was sent to a group.
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

// Scripts start by requests and stop by keepalive, many times. Nothing of them
// is left.
func keepaliveChurn(t *testing.T) {
	const scripts, starts = 20, 200
	files := map[string]string{}
	for i := range scripts {
		files[fmt.Sprintf("counting-%02d.stp", i)] = text(t, "counting")
	}
	e := start(t, setup{scripts: files, flags: []string{"-k", "1"}})
	before := descriptors(t, e.Cmd.Process.Pid)
	begun := time.Now()
	var workers sync.WaitGroup
	work := make(chan string)
	for range 3 {
		workers.Go(func() {
			for name := range work {
				for end := time.Now().Add(5 * time.Minute); ; {
					p, err := e.Ask("/"+name, startTimeout)
					if err == nil && p.Code == 200 {
						break
					}
					if err != nil || p.Code != 503 || time.Now().After(end) {
						t.Errorf("%s: %v %d %s", name, err, p.Code, p.Body)
						break
					}
				}
			}
		})
	}
	started := func() int { return strings.Count(e.Log(), `"state":"running"`) }
	for started() < starts {
		for name := range files {
			work <- name
		}
	}
	close(work)
	workers.Wait()
	eventually(t, "all are stopped", func() bool {
		list := e.Get("/", "").Body
		return !strings.Contains(list, "running") && !strings.Contains(list, "stopping")
	})
	note(t, "%d starts of %d scripts in %s", started(), scripts, seconds(time.Since(begun)))
	e.checkResidue()
	if after := descriptors(t, e.Cmd.Process.Pid); after > before+3 {
		t.Errorf("%d descriptors, %d before", after, before)
	}
	e.stopClean()
}

func descriptors(t *testing.T, pid int) int {
	t.Helper()
	harness.Client.CloseIdleConnections()
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}
