package chaos

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"stap-exporter/test/harness"
)

// make chaos sets them. Without them a run takes a minute, uses the race
// detector if the tests have it, and does not check the p99, because other
// tests use the machine, too.
var (
	chaosTime = flag.Duration(
		"chaos",
		0,
		"how long TestChaos makes trouble, at least 30s; it checks the p99 then",
	)
	chaosSeed = flag.Uint64(
		"chaos.seed",
		0,
		"the seed of an earlier run, for the same choices; their timing always differs",
	)
	chaosExporter = flag.String("chaos.exporter", "", "the stap-exporter to run (default: build one)")
)

// Phases of a run. The requests for the healthy scripts are the same in each.
const (
	quiet   = iota // all scripts and their readers behave, and are as many as later
	chaotic        // everything
	after          // the bad scripts are stopped
	phases
)

var phaseNames = [phases]string{"quiet", "chaos", "after"}

const p99Limit = 2 // times the p99 of the quiet phase

// chaos is one run: an exporter, its scripts, and everything that disturbs it.
type chaos struct {
	t        *testing.T
	e        *harness.Exporter
	address  string
	dir      string // of the scripts
	cache    string
	instance string
	child    string // the executable that all scripts name
	long     bool   // make chaos
	seed     uint64
	interval time.Duration // between two scrapes of a script
	grace    time.Duration // for a reply after its deadline
	read     time.Duration // --script.read-timeout
	start    time.Duration // --script.start-timeout
	length   [phases]time.Duration

	healthy, bad []*chaosScript
	// the bad scripts have their roles; set before other goroutines write files
	misbehaving bool
	phase       atomic.Int32
	load        [phases]load // CPU time of each phase
	ledger
}

// Two hundred scripts, a quarter of which misbehave in every known way, clients
// that disconnect, are slow or send too much, and an operator who does things
// at random: the healthy scripts are not affected, every request gets a reply,
// and no residue is left.
func TestChaos(t *testing.T) {
	harness.SkipIfShort(t)
	c := newChaos(t)
	c.begin()

	stop := make(chan struct{})
	scrapers := c.scrapeHealthy(stop)
	c.operateBad("start")
	c.waitUntilBadRun()
	c.measure(quiet, c.length[quiet], c.scrapers)
	c.operateBad("stop")
	c.waitUntilBadIdle()
	before := c.resources()

	c.misbehave()
	c.operateBad("start")
	c.measure(chaotic, c.length[chaotic], c.scrapers, c.abusers, c.events)
	peak := c.resources()

	c.inPhase(after, func() {
		c.operateBad("stop")
		c.checkPets()
		c.operateBad("stop")
		c.waitUntilBadIdle()
	})
	end := c.waitForResources(before)
	close(stop)
	scrapers.Wait()
	t.Log(c.report(before, peak, end))
	c.stopExporter()
	c.judge()
}

func newChaos(t *testing.T) *chaos {
	c := &chaos{
		t:        t,
		dir:      t.TempDir(),
		cache:    t.TempDir(),
		interval: 5 * time.Second,
		grace:    10 * time.Second,
		read:     8 * time.Second,
		start:    15 * time.Second,
		seed:     1 + rand.Uint64N(1e9),
	}
	c.init()
	total := time.Minute
	if *chaosTime > 0 {
		total, c.long = max(*chaosTime, 30*time.Second), true
		c.interval, c.grace, c.read, c.start = 2*time.Second, 2*time.Second, 3*time.Second, 8*time.Second
		// The garbage collections of this process would be in the times that it
		// measures.
		debug.SetGCPercent(400)
	}
	if *chaosSeed > 0 {
		c.seed = *chaosSeed
	}
	c.length[quiet] = min(max(total/6, 10*time.Second), 2*time.Minute)
	c.length[chaotic] = total - c.length[quiet]
	t.Logf("chaos for %v, seed %d", total, c.seed)

	c.child = filepath.Join(t.TempDir(), "misbehave")
	if err := harness.Build(c.child, "stap-exporter/test/misbehave"); err != nil {
		t.Fatal(err)
	}
	return c
}

// begin starts the exporter. On return every healthy script has answered, and
// the others are stopped.
func (c *chaos) begin() {
	c.createScripts()
	executable := *chaosExporter
	if executable == "" {
		executable = harness.Binary(c.t)
	}
	c.e = harness.StartBinary(
		c.t,
		executable,
		c.dir,
		"--cache.dir="+c.cache,
		"--web.enable-lifecycle",
		"--script.max-parallel-starts=8", // more than there are scripts that never start
		"--script.read-timeout="+c.read.String(),
		"--script.start-timeout="+c.start.String(),
	)
	c.address = strings.TrimPrefix(c.e.URL, "http://")
	c.startHealthy()
	if c.t.Failed() || c.faulty() {
		c.judge()
		c.t.FailNow()
	}
	locks, _ := filepath.Glob(filepath.Join(c.cache, "*", "guardian.lock"))
	if len(locks) != 1 {
		c.t.Fatalf("locks: %q", locks)
	}
	c.instance = filepath.Base(filepath.Dir(locks[0]))
	c.operateBad("stop")
	c.waitUntilBadIdle()
}

func (c *chaos) startHealthy() {
	var starts sync.WaitGroup
	slots := make(chan struct{}, 8)
	for _, s := range c.healthy {
		starts.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			for end := time.Now().Add(2 * time.Minute); ; {
				w := c.client()
				r, ok := w.send(request{
					kind:    "first scrape",
					path:    "/" + s.name,
					timeout: time.Minute,
					codes:   []int{200, 503, 504},
				})
				w.close()
				if ok && r.code == 200 {
					return
				}
				if time.Now().After(end) {
					c.fault("%s does not start: %d %s", s.name, r.code, r.body)
					return
				}
			}
		})
	}
	starts.Wait()
}

// measure runs a phase for a time, with sources of load or trouble, which have
// ended when it returns.
func (c *chaos) measure(phase int, d time.Duration, sources ...func(stop <-chan struct{}, ended *sync.WaitGroup)) {
	c.inPhase(phase, func() {
		stop := make(chan struct{})
		var ended sync.WaitGroup
		for _, source := range sources {
			source(stop, &ended)
		}
		time.Sleep(d)
		close(stop)
		ended.Wait()
	})
}

// inPhase calls do in a phase, and measures its CPU time.
func (c *chaos) inPhase(phase int, do func()) {
	c.phase.Store(int32(phase))
	begun := c.currentLoad()
	do()
	c.load[phase] = c.currentLoad().since(begun)
}

// operate sends an operator's request for a script, whose reply must be one of
// the codes.
func (c *chaos) operate(w *client, s *chaosScript, action string, codes ...int) {
	s.expectRestart()
	w.send(request{
		kind:   "operator",
		method: "POST",
		path:   "/api/v1/scripts/" + s.name + "/" + action,
		codes:  codes,
	})
}

// operateBad sends an operator's request for every bad script.
func (c *chaos) operateBad(action string) {
	w := c.client()
	defer w.close()
	for _, s := range c.bad {
		c.operate(w, s, action, 202)
	}
}

// checkPets checks that a script that behaves recovers, whatever was done to
// it.
func (c *chaos) checkPets() {
	w := c.client()
	defer w.close()
	for _, s := range c.bad {
		if !s.behaves() {
			continue
		}
		c.operate(w, s, "start", 202)
		r, ok := w.send(request{
			kind:    "scrape after chaos",
			path:    "/" + s.name,
			timeout: 40 * time.Second,
			codes:   []int{200},
		})
		if ok {
			c.checkText(s, r, seenText{})
		}
	}
}

// waitUntilBadIdle waits until only the healthy scripts have processes.
func (c *chaos) waitUntilBadIdle() {
	others := ""
	if !c.within(time.Minute, func() bool {
		others = ""
		w := c.client()
		defer w.close()
		states, ok := c.states(w)
		for _, s := range c.bad {
			if !ok || states[s.name].State != "idle" {
				others += fmt.Sprintf(" %s (%s)", s.name, states[s.name].State)
			}
		}
		return others == ""
	}) {
		c.fault("not idle a minute after a stop:%s", others)
	}
}

// waitUntilBadRun waits until every bad script runs, while they behave.
func (c *chaos) waitUntilBadRun() {
	w := c.client()
	defer w.close()
	if !c.within(time.Minute, func() bool {
		states, ok := c.states(w)
		for _, s := range c.bad {
			ok = ok && states[s.name].State == "running"
		}
		return ok
	}) {
		c.fault("scripts that behave do not run a minute after a start")
	}
}

// within waits for a condition.
func (c *chaos) within(d time.Duration, ok func() bool) bool {
	for end := time.Now().Add(d); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// stopExporter stops the exporter while all scripts start or run.
func (c *chaos) stopExporter() {
	c.operateBad("start")
	time.Sleep(time.Second)
	guardian := harness.GuardianOf(c.e.Cmd.Process.Pid)
	begun := time.Now()
	if code := c.e.Stop(syscall.SIGTERM); code != 0 {
		c.fault("exit code %d", code)
	}
	c.t.Logf("SIGTERM: it ended in %v", time.Since(begun).Round(10*time.Millisecond))
	left := harness.Residue(c.cache, c.instance, nil)
	for _, p := range harness.ProcessesWith(c.child) {
		left = append(left, p.String())
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", guardian)); guardian != 0 && err == nil {
		left = append(left, "the guardian")
	}
	if len(left) > 0 {
		c.fault("left after the end: %q", left)
	}
	for line := range strings.Lines(c.e.Log()) {
		if strings.Contains(line, "panic") || strings.Contains(line, `"level":"error"`) {
			c.fault("log: %s", line)
		}
	}
}
