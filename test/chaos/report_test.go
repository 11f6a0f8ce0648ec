package chaos

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"stap-exporter/test/harness"
)

// resources are what the exporter holds.
type resources struct {
	goroutines, threads, descriptors   int
	memory, heap                       int // bytes
	guardianDescriptors                int
	guardianMemory                     int // bytes
	processes, zombies, fifos, folders int
}

// rows are for the table and for the comparison: slack is how much more there
// may be than before.
func (r resources) rows() []resource {
	// Go keeps threads: as many as were ever needed at once. Of memory, the
	// heap tells of a leak sooner than what is resident.
	threads, heap, resident := 100, 32, 64
	if *chaosExporter == "" { // this test, with the race detector where the tests have it
		threads, heap, resident = 300, 48, 256
	}
	return []resource{
		{"goroutines", r.goroutines, 10},
		{"descriptors", r.descriptors, 10},
		{"descriptors of the guardian", r.guardianDescriptors, 4},
		{"processes of scripts", r.processes, 0},
		{"zombies", r.zombies, 0},
		{"FIFOs", r.fifos, 0},
		{"work folders", r.folders, 0},
		{"threads", r.threads, threads},
		{"heap in use, MiB", r.heap >> 20, heap},
		{"resident memory, MiB", r.memory >> 20, resident},
		{"that of the guardian, MiB", r.guardianMemory >> 20, 16},
	}
}

type resource struct {
	what         string
	value, slack int
}

func (c *chaos) resources() resources {
	w := c.client()
	defer w.close()
	page, _ := w.ask(question{kind: "resources", path: "/metrics", quick: true, known: []int{200}})
	guardian := harness.GuardianOf(c.e.Cmd.Process.Pid)
	r := resources{
		goroutines:          metricOf(page.body, "go_goroutines"),
		threads:             metricOf(page.body, "go_threads"),
		descriptors:         metricOf(page.body, "process_open_fds"),
		memory:              metricOf(page.body, "process_resident_memory_bytes"),
		heap:                metricOf(page.body, "go_memstats_heap_inuse_bytes"),
		processes:           len(harness.TaggedProcesses(c.cache)),
		zombies:             zombiesOf(c.e.Cmd.Process.Pid),
		guardianDescriptors: count(fmt.Sprintf("/proc/%d/fd/*", guardian)),
		guardianMemory:      residentOf(guardian),
		fifos:               count(filepath.Join("/var/tmp/systemtap-*", "stap_exporter_"+c.instance+"_*")),
		folders:             count(filepath.Join(c.cache, c.instance, "run", "*")),
	}
	return r
}

func count(pattern string) int {
	paths, _ := filepath.Glob(pattern)
	return len(paths)
}

// metricOf returns the value of a metric without labels, 0 when it is not on
// the page.
func metricOf(page []byte, name string) int {
	for line := range strings.Lines(string(page)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			f, _ := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return int(f)
		}
	}
	return 0
}

func residentOf(osPID int) int {
	statm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", osPID))
	fields := append(strings.Fields(string(statm)), "0", "0")
	pages, _ := strconv.Atoi(fields[1])
	return pages * os.Getpagesize()
}

func zombiesOf(parent int) (n int) {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range files {
		if fields := statOf(f); len(fields) > 1 && fields[0] == "Z" && fields[1] == strconv.Itoa(parent) {
			n++
		}
	}
	return n
}

// statOf returns the fields of a /proc/PID/stat behind the command's name.
func statOf(path string) []string {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
}

// comesBack waits until everything is as it was before, and notes what never
// is.
func (c *chaos) comesBack(before resources) (now resources) {
	var above []string
	c.within(time.Minute, func() bool {
		now, above = c.resources(), nil
		old := before.rows()
		for i, r := range now.rows() {
			if r.value > old[i].value+r.slack {
				above = append(above, fmt.Sprintf("%s: %d, were %d", r.what, r.value, old[i].value))
			}
		}
		return len(above) == 0
	})
	for _, what := range above {
		c.fault("a minute after the chaos: %s", what)
	}
	return now
}

// load is processor time in seconds, since a moment or in a phase.
type load struct {
	at                                  time.Time
	wall, busy, exporter, test, scripts float64
}

func (c *chaos) load() load {
	l := load{at: time.Now()}
	text, _ := os.ReadFile("/proc/stat")
	for i, field := range strings.Fields(strings.SplitN(string(text), "\n", 2)[0])[1:] {
		if i < 8 && i != 3 && i != 4 { // user nice system idle iowait irq softirq steal
			l.busy += ticks(field)
		}
	}
	if stat := statOf(fmt.Sprintf("/proc/%d/stat", c.e.Cmd.Process.Pid)); len(stat) > 12 {
		l.exporter = ticks(stat[11]) + ticks(stat[12])
		l.scripts = ticks(stat[13]) + ticks(stat[14]) // of those that have ended
	}
	for _, m := range harness.TaggedProcesses(c.cache) {
		osPID, _, _ := strings.Cut(m, " ")
		if stat := statOf("/proc/" + osPID + "/stat"); len(stat) > 12 {
			l.scripts += ticks(stat[11]) + ticks(stat[12])
		}
	}
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &usage) == nil {
		l.test = time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
	}
	return l
}

func ticks(field string) float64 {
	n, _ := strconv.ParseFloat(field, 64)
	return n / 100 // USER_HZ
}

func (l load) since(begun load) load {
	return load{
		wall:     l.at.Sub(begun.at).Seconds(),
		busy:     l.busy - begun.busy,
		exporter: l.exporter - begun.exporter,
		test:     l.test - begun.test,
		scripts:  l.scripts - begun.scripts,
	}
}

func (l load) percent(of float64) string {
	return fmt.Sprintf("%.0f %%", 100*of/max(l.wall, 0.001)/float64(runtime.NumCPU()))
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// report is the tables for bench/README.md.
func (c *chaos) report(before, peak, end resources) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(
		&b,
		"chaos: %v quiet, %v of chaos, seed %d, %d healthy scripts scraped every %v, %d misbehaving\n",
		c.length[quiet],
		c.length[chaotic],
		c.seed,
		len(c.healthy),
		c.interval,
		len(c.bad),
	)

	b.WriteString(
		"\n| scrapes of healthy scripts | number | p50 | p99 | p99.9 | max | processors: all | exporter | scripts | this test |\n|---|---|---|---|---|---|---|---|---|---|\n",
	)
	for p, took := range c.took {
		sorted := slices.Sorted(slices.Values(took))
		l := c.clock[p]
		fmt.Fprintf(
			&b,
			"| %s | %d | %v | %v | %v | %v | %s | %s | %s | %s |\n",
			phaseNames[p],
			len(sorted),
			micro(quantile(sorted, 0.5)),
			micro(quantile(sorted, 0.99)),
			micro(quantile(sorted, 0.999)),
			micro(quantile(sorted, 1)),
			l.percent(l.busy),
			l.percent(l.exporter),
			l.percent(l.scripts),
			l.percent(l.test),
		)
	}
	b.WriteString("\n| requests | outcomes |\n|---|---|\n")
	for _, kind := range slices.Sorted(maps.Keys(c.requests)) {
		fmt.Fprintf(&b, "| %s | %s |\n", kind, counts(c.requests[kind]))
	}
	b.WriteString("\n| event | times |\n|---|---|\n")
	for _, kind := range slices.Sorted(maps.Keys(c.happened)) {
		fmt.Fprintf(&b, "| %s | %d |\n", kind, c.happened[kind])
	}
	b.WriteString("\n| exporter | before | at the end of the chaos | after |\n|---|---|---|---|\n")
	was, top := before.rows(), peak.rows()
	for i, r := range end.rows() {
		fmt.Fprintf(&b, "| %s | %d | %d | %d |\n", r.what, was[i].value, top[i].value, r.value)
	}
	return b.String()
}

func micro(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000)
}

func counts(outcomes map[string]int) string {
	var all []string
	for _, outcome := range slices.Sorted(maps.Keys(outcomes)) {
		all = append(all, fmt.Sprintf("%s: %d", outcome, outcomes[outcome]))
	}
	return strings.Join(all, ", ")
}

// judge ends the run: what was noted on the way, and in a long one the p99.
func (c *chaos) judge() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.faults {
		c.t.Error(f)
	}
	if c.more > 0 {
		c.t.Errorf("and %d more", c.more)
	}
	if !c.long {
		return
	}
	calm, wild := quantile(
		slices.Sorted(slices.Values(c.took[quiet])),
		0.99,
	), quantile(
		slices.Sorted(slices.Values(c.took[chaotic])),
		0.99,
	)
	if wild > p99Limit*calm {
		c.t.Errorf("p99 of the healthy scripts: %v under chaos, %v before: more than %d times", wild, calm, p99Limit)
	}
}
