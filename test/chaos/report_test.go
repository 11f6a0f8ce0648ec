package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// report returns the tables of a run for bench/README.md.
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
	table(
		&b,
		"scrapes of healthy scripts", "number", "p50", "p99", "p99.9", "max",
		"CPUs: all", "exporter", "scripts", "this test",
	)
	for p, took := range c.took {
		sorted := slices.Sorted(slices.Values(took))
		l := c.load[p]
		row(
			&b,
			phaseNames[p],
			len(sorted),
			milliseconds(quantile(sorted, 0.5)),
			milliseconds(quantile(sorted, 0.99)),
			milliseconds(quantile(sorted, 0.999)),
			milliseconds(quantile(sorted, 1)),
			l.percent(l.busy),
			l.percent(l.exporter),
			l.percent(l.scripts),
			l.percent(l.test),
		)
	}
	table(&b, "requests", "outcomes")
	for _, kind := range slices.Sorted(maps.Keys(c.requests)) {
		row(&b, kind, counts(c.requests[kind]))
	}
	table(&b, "event", "number")
	for _, kind := range slices.Sorted(maps.Keys(c.happened)) {
		row(&b, kind, c.happened[kind])
	}
	table(&b, "exporter", "before", "at the end of the chaos", "after")
	for i, r := range end {
		row(&b, r.name, before[i].value, peak[i].value, r.value)
	}
	return b.String()
}

// table begins a table.
func table(b *strings.Builder, columns ...string) {
	fmt.Fprintf(b, "\n| %s |\n%s|\n", strings.Join(columns, " | "), strings.Repeat("|---", len(columns)))
}

func row(b *strings.Builder, cells ...any) {
	for _, cell := range cells {
		fmt.Fprintf(b, "| %v ", cell)
	}
	b.WriteString("|\n")
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000)
}

func counts(outcomes map[string]int) string {
	var all []string
	for _, outcome := range slices.Sorted(maps.Keys(outcomes)) {
		all = append(all, fmt.Sprintf("%s: %d", outcome, outcomes[outcome]))
	}
	return strings.Join(all, ", ")
}

// judge fails the test for the recorded faults, and in a long run for the p99.
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
	before := quantile(slices.Sorted(slices.Values(c.took[quiet])), 0.99)
	chaos := quantile(slices.Sorted(slices.Values(c.took[chaotic])), 0.99)
	if chaos > p99Limit*before {
		c.t.Errorf("p99 of the healthy scripts: %v in the chaos, %v before: above %d times", chaos, before, p99Limit)
	}
}
