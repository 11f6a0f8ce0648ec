package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"stap-exporter/bench/report"
	"stap-exporter/bench/scrape"
)

// row is a line of the summary.
type row struct{ What, Goal, Measured, Met string }

// goal adds a line with a goal to the summary.
func (b *bench) goal(what, goal string, met bool, format string, args ...any) {
	b.rows = append(b.rows, row{
		What:     what,
		Goal:     goal,
		Measured: fmt.Sprintf(format, args...),
		Met:      map[bool]string{true: "yes", false: "NO"}[met],
	})
	b.printRow()
}

// note adds a line without a goal.
func (b *bench) note(what, format string, args ...any) {
	b.rows = append(b.rows, row{What: what, Measured: fmt.Sprintf(format, args...)})
	b.printRow()
}

func (b *bench) printRow() {
	r := b.rows[len(b.rows)-1]
	fmt.Fprintln(b.stdout, strings.TrimSpace(fmt.Sprintf("%s: %s  %s", r.What, r.Measured, r.Met)))
}

// checked adds the wrong replies of a run with checks.
func (b *bench) checked(what string, r scrape.Result) {
	var detail strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(r.Kinds)) {
		fmt.Fprintf(&detail, "; %s: %d, for example %s", kind, r.Kinds[kind], r.Examples[kind])
	}
	b.goal("wrong bodies, "+what, "0", r.Wrong == 0, "%d of %d%s", r.Wrong, r.Replies, &detail)
}

// write writes the results of a part.
func (b *bench) write(name string, results any) error {
	return report.Write(b.out, name, struct {
		About   report.About
		Results any
	}{b.about, results})
}

// writeSummary writes the table of all rows to summary.md. The part compare
// alone leaves the table of the last run in place.
func (b *bench) writeSummary() error {
	if slices.Equal(b.parts, []string{comparePart}) {
		return nil
	}
	var s strings.Builder
	a := b.about
	fmt.Fprintf(&s, "# Results\n\nWritten by `%s` at %s, of commit %s.\n", a.Command, a.Time, a.Commit)
	fmt.Fprintf(&s, "%d cores of %s, %d MB, Linux %s, %s. Load average before: %s.\n\n",
		a.Cores, a.CPU, a.Memory>>20, a.Kernel, a.Go, a.Load)
	s.WriteString("| what | goal | measured | met |\n|---|---|---|---|\n")
	for _, r := range b.rows {
		fmt.Fprintf(&s, "| %s | %s | %s | %s |\n", r.What, r.Goal, r.Measured, r.Met)
	}
	return os.WriteFile(filepath.Join(b.out, "summary.md"), []byte(s.String()), 0o644)
}
