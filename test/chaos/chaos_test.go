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

// make chaos sets them. Without them the run is one of a minute, with the race
// detector where the tests have it, and the p99 is only shown: others use the
// machine, too.
var (
	chaosTime = flag.Duration(
		"chaos",
		0,
		"how long TestChaos makes trouble, at least 30s, and checks the p99 of it",
	)
	chaosSeed = flag.Uint64(
		"chaos.seed",
		0,
		"the seed of an earlier run, to make its choices again; what happens between them is never the same",
	)
	chaosExporter = flag.String("chaos.exporter", "", "the stap-exporter to run, instead of this test")
)

// Phases of a run. What is asked of the healthy scripts is the same in each.
const (
	quiet   = iota // all scripts and those who read them behave, and are as many as later
	chaotic        // all there is
	after          // the misbehaving ones are stopped
	phases
)

var phaseNames = [phases]string{"quiet", "chaos", "after"}

// The scripts: chaosHealthy are never touched, and a quarter as many misbehave,
// among them chaosPets that are good children with a bad master.
const (
	chaosHealthy = 150
	chaosPets    = 14
	chaosEach    = 3 // of each bad role
)

var badRoles = []string{
	"slow",
	"crash",
	"dies",
	"unready",
	"hang",
	"stubborn",
	"flood",
	"tear",
	"empty",
	"huge",
	"exits",
	"leaves",
}

const p99Limit = 2 // times its quiet value

// chaos is one run: an exporter, its scripts, and all who make its life hard.
type chaos struct {
	t        *testing.T
	e        *harness.Exporter
	address  string
	dir      string // of the scripts
	cache    string
	instance string
	child    string // the program that all scripts are
	long     bool   // make chaos
	seed     uint64
	interval time.Duration // between two scrapes of a script
	grace    time.Duration // for an answer after its deadline
	read     time.Duration // --script.read-timeout
	start    time.Duration // --script.start-timeout
	length   [phases]time.Duration

	healthy, bad []*chaosScript
	// the bad ones have got their roles, set before there is a second goroutine
	// that writes them
	turned bool
	phase  atomic.Int32
	clock  [phases]load // what each phase took of the processors
	ledger
}

// chaosScript is a file of the folder.
type chaosScript struct {
	name, role string
	version    int
	busy       sync.Mutex // held by the event that is about it

	mu      sync.Mutex
	touched int             // how often something was done to it that starts it over
	lives   map[string]bool // seen in its texts
	newest  sight           // of the last of them
}

// Two hundred scripts, a quarter of which misbehave in every way that we know,
// clients that vanish, crawl and hammer, and an operator without a plan: the
// other scripts do not notice, everybody is answered, and nothing stays behind.
func TestChaos(t *testing.T) {
	c := newChaos(t)
	c.begin()

	stop := make(chan struct{})
	scrapers := c.scrapeHealthy(stop)
	c.everyBad("start", 202)
	c.allUp()
	c.measure(quiet, c.length[quiet], c.scrapers)
	c.everyBad("stop", 202)
	c.allQuiet()
	before := c.resources()

	c.turnBad()
	c.everyBad("start", 202)
	c.measure(chaotic, c.length[chaotic], c.scrapers, c.clients, c.events)
	peak := c.resources()

	c.pass(after, func() {
		c.everyBad("stop", 202)
		c.petsRecover()
		c.everyBad("stop", 202)
		c.allQuiet()
	})
	end := c.comesBack(before)
	close(stop)
	scrapers.Wait()
	t.Log(c.report(before, peak, end))
	c.endsWell()
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
		// this process measures another one: its own collections are not to be
		// in what it measures
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

// begin starts the exporter; on return every healthy script has answered, every
// other has had its first start, and is stopped.
func (c *chaos) begin() {
	add := func(list *[]*chaosScript, role string, i int) {
		kind := ""
		if i%2 == 0 {
			kind = "-autostart"
		}
		s := &chaosScript{name: fmt.Sprintf("%s%s-%03d.stp", role, kind, i), role: role, lives: map[string]bool{}}
		c.write(s)
		*list = append(*list, s)
	}
	for i := range chaosHealthy {
		add(&c.healthy, "healthy", i)
	}
	for _, role := range badRoles {
		for i := range chaosEach {
			add(&c.bad, role, i)
		}
	}
	for i := range chaosPets {
		add(&c.bad, []string{"pet", "stays"}[i/2%2], i)
	}
	// or those that never start keep the others from misbehaving
	program := *chaosExporter
	if program == "" {
		program = harness.Binary(c.t)
	}
	c.e = harness.StartBinary(
		c.t,
		program,
		c.dir,
		"--cache.dir="+c.cache,
		"--web.enable-lifecycle",
		"--script.max-parallel-starts=8",
		"--script.read-timeout="+c.read.String(),
		"--script.start-timeout="+c.start.String(),
	)
	c.address = strings.TrimPrefix(c.e.URL, "http://")

	var warm sync.WaitGroup
	places := make(chan struct{}, 8)
	for _, s := range c.healthy {
		warm.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			for end := time.Now().Add(2 * time.Minute); ; {
				w := c.client()
				r, ok := w.ask(question{
					kind:    "first scrape",
					path:    "/" + s.name,
					timeout: time.Minute,
					known:   []int{200, 503, 504},
				})
				w.close()
				if ok && r.code == 200 {
					return
				}
				if time.Now().After(end) {
					c.fault("%s never came up: %d %s", s.name, r.code, r.body)
					return
				}
			}
		})
	}
	warm.Wait()
	if c.t.Failed() || c.faulty() {
		c.judge()
		c.t.FailNow()
	}
	locks, _ := filepath.Glob(filepath.Join(c.cache, "*", "guardian.lock"))
	if len(locks) != 1 {
		c.t.Fatalf("locks: %q", locks)
	}
	c.instance = filepath.Base(filepath.Dir(locks[0]))
	c.everyBad("stop", 202)
	c.allQuiet()
}

// write writes a script's file in its next version, as most editors do.
func (c *chaos) write(s *chaosScript) {
	s.version++
	role := s.role
	if role == "pet" || !c.turned {
		role = "healthy"
	}
	c.place(s, fmt.Sprintf("#!%s %s\n# version %d\n", c.child, role, s.version), 0o755)
}

func (c *chaos) place(s *chaosScript, text string, mode os.FileMode) {
	path := filepath.Join(c.dir, s.name)
	if err := os.WriteFile(path+".new", []byte(text), mode); err != nil {
		c.fault("%v", err)
	}
	if err := os.Chmod(path+".new", mode); err != nil {
		c.fault("%v", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		c.fault("%v", err)
	}
}

// measure runs a phase for a time, with those who make trouble in it; on return
// they have ended.
func (c *chaos) measure(phase int, d time.Duration, troubles ...func(stop <-chan struct{}, ended *sync.WaitGroup)) {
	c.pass(phase, func() {
		stop := make(chan struct{})
		var ended sync.WaitGroup
		for _, trouble := range troubles {
			trouble(stop, &ended)
		}
		time.Sleep(d)
		close(stop)
		ended.Wait()
	})
}

// pass does something in a phase, and takes its measure.
func (c *chaos) pass(phase int, do func()) {
	c.phase.Store(int32(phase))
	begun := c.load()
	do()
	c.clock[phase] = c.load().since(begun)
}

// everyBad tells all scripts but the healthy ones something.
func (c *chaos) everyBad(action string, code int) {
	w := c.client()
	defer w.close()
	for _, s := range c.bad {
		s.touch()
		w.ask(question{
			kind:   "operator",
			method: "POST",
			path:   "/api/v1/scripts/" + s.name + "/" + action,
			known:  []int{code},
		})
	}
}

// turnBad gives the misbehaving scripts, which behaved so far, their roles.
func (c *chaos) turnBad() {
	c.turned = true
	for _, s := range c.bad {
		s.touch()
		c.write(s)
	}
}

// petsRecover holds that whatever was done to a good script, it comes back when
// it is left alone.
func (c *chaos) petsRecover() {
	w := c.client()
	defer w.close()
	for _, s := range c.bad {
		if s.role != "pet" && s.role != "stays" {
			continue
		}
		s.touch()
		w.ask(question{
			kind:   "operator",
			method: "POST",
			path:   "/api/v1/scripts/" + s.name + "/start",
			known:  []int{202},
		})
		r, ok := w.ask(question{
			kind:    "scrape after chaos",
			path:    "/" + s.name,
			timeout: 40 * time.Second,
			known:   []int{200},
		})
		if ok {
			c.look(s, r, sight{})
		}
	}
}

// allQuiet waits until only the healthy scripts have processes.
func (c *chaos) allQuiet() {
	left := ""
	if !c.within(time.Minute, func() bool {
		left = ""
		w := c.client()
		defer w.close()
		states, ok := c.states(w)
		for _, s := range c.bad {
			if !ok || states[s.name].State != "idle" {
				left += fmt.Sprintf(" %s (%s)", s.name, states[s.name].State)
			}
		}
		return left == ""
	}) {
		c.fault("not idle a minute after they were stopped:%s", left)
	}
}

// allUp waits until every script runs.
func (c *chaos) allUp() {
	w := c.client()
	defer w.close()
	if !c.within(time.Minute, func() bool {
		states, ok := c.states(w)
		for _, s := range c.bad {
			ok = ok && states[s.name].State == "running"
		}
		return ok
	}) {
		c.fault("not running a minute after they were started, though none misbehaves yet")
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

// endsWell ends the exporter with all scripts on the way up, or up.
func (c *chaos) endsWell() {
	c.everyBad("start", 202)
	time.Sleep(time.Second)
	guardian := harness.GuardianOf(c.e.Cmd.Process.Pid)
	begun := time.Now()
	if code := c.e.Stop(syscall.SIGTERM); code != 0 {
		c.fault("exit code %d", code)
	}
	c.t.Logf("SIGTERM: it ended in %v", time.Since(begun).Round(10*time.Millisecond))
	left := append(harness.Residue(c.cache, c.instance, nil), harness.ProcessesWith(c.child)...)
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
