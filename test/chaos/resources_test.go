package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"stap-exporter/test/harness"
)

// resource is something that the exporter uses. After the chaos its value may
// be above that before by slack.
type resource struct {
	name         string
	value, slack int
}

// resources are in the order of the table in the report.
type resources []resource

func (c *chaos) resources() resources {
	w := c.client()
	defer w.close()
	page, _ := w.send(request{
		kind:  "resources",
		path:  "/metrics",
		quick: true,
		codes: []int{200},
	})
	exporter := c.e.Cmd.Process.Pid
	guardian := harness.GuardianOf(exporter)
	metric := func(name string) int { return metricOf(page.body, name) }
	// Go keeps as many threads as were needed at once. The heap shows a leak
	// sooner than the resident memory.
	threads, heap, resident := 100, 32, 64
	if *chaosExporter == "" { // with the race detector if the tests have it
		threads, heap, resident = 300, 48, 256
	}
	return resources{
		{"goroutines", metric("go_goroutines"), 10},
		{"descriptors", metric("process_open_fds"), 10},
		{"descriptors of the guardian", count(fmt.Sprintf("/proc/%d/fd/*", guardian)), 4},
		{"processes of scripts", len(harness.TaggedProcesses(c.cache)), 0},
		{"zombies", zombiesOf(exporter), 0},
		{"FIFOs", count(filepath.Join("/var/tmp/systemtap-*", "stap_exporter_"+c.instance+"_*")), 0},
		{"work directories", count(filepath.Join(c.cache, c.instance, "run", "*")), 0},
		{"threads", metric("go_threads"), threads},
		{"heap in use, MiB", metric("go_memstats_heap_inuse_bytes") >> 20, heap},
		{"resident memory, MiB", metric("process_resident_memory_bytes") >> 20, resident},
		{"resident memory of the guardian, MiB", residentOf(guardian) >> 20, 16},
	}
}

func count(pattern string) int {
	paths, _ := filepath.Glob(pattern)
	return len(paths)
}

// metricOf returns the value of a metric without labels, 0 when the page does
// not have it.
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
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		osPID, _ := strconv.Atoi(filepath.Base(dir))
		fields := harness.StatFields(osPID)
		if len(fields) > 1 && fields[0] == "Z" && fields[1] == strconv.Itoa(parent) {
			n++
		}
	}
	return n
}

// waitForResources waits until no resource is above its value before by more
// than its slack, and records those that stay.
func (c *chaos) waitForResources(before resources) (now resources) {
	var above []string
	c.within(time.Minute, func() bool {
		now, above = c.resources(), nil
		for i, r := range now {
			if r.value > before[i].value+r.slack {
				above = append(above, fmt.Sprintf("%s: %d, were %d", r.name, r.value, before[i].value))
			}
		}
		return len(above) == 0
	})
	for _, what := range above {
		c.fault("a minute after the chaos: %s", what)
	}
	return now
}

// load is CPU time in seconds, since the start or in a phase.
type load struct {
	at                                  time.Time
	wall, busy, exporter, test, scripts float64
}

func (c *chaos) currentLoad() load {
	l := load{at: time.Now()}
	text, _ := os.ReadFile("/proc/stat")
	for i, field := range strings.Fields(strings.SplitN(string(text), "\n", 2)[0])[1:] {
		if i < 8 && i != 3 && i != 4 { // user nice system idle iowait irq softirq steal
			l.busy += ticks(field)
		}
	}
	if stat := harness.StatFields(c.e.Cmd.Process.Pid); len(stat) > 14 {
		l.exporter = ticks(stat[11]) + ticks(stat[12])
		l.scripts = ticks(stat[13]) + ticks(stat[14]) // children that have ended
	}
	for _, p := range harness.TaggedProcesses(c.cache) {
		if stat := harness.StatFields(p.OSPID); len(stat) > 12 {
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

// percent returns a part of the CPU time of all CPUs.
func (l load) percent(of float64) string {
	return fmt.Sprintf("%.0f %%", 100*of/max(l.wall, 0.001)/float64(runtime.NumCPU()))
}
