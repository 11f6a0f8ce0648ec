//go:build vm

package vm

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
)

// eachLine calls see for every line of r.
func eachLine(r io.Reader, see func(string)) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			see(strings.TrimRight(line, "\r\n"))
		}
		if err != nil {
			return
		}
	}
}

// row is one scenario of the table.
type row struct {
	name, outcome, seconds string
	notes                  []string
}

// table collects the results of the scenarios from their output.
type table struct {
	t    *testing.T
	rows []*row
}

var (
	startOf = regexp.MustCompile(`^=== (RUN|CONT|PAUSE|NAME) `)
	note    = regexp.MustCompile(`NOTE TestScenarios/(?:all/)?(\S+) (.*)$`)
	done    = regexp.MustCompile(`DONE TestScenarios/(?:all/)?(\S+) (\S+) (\S+)$`)
)

func (b *table) row(name string) *row {
	name = strings.ReplaceAll(name, "_", " ")
	i := slices.IndexFunc(b.rows, func(r *row) bool { return r.name == name })
	if i < 0 {
		b.rows = append(b.rows, &row{name: name, outcome: "NOT DONE"})
		i = len(b.rows) - 1
	}
	return b.rows[i]
}

func (b *table) see(line string) {
	if m := note.FindStringSubmatch(line); m != nil {
		r := b.row(m[1])
		fmt.Printf("  %s: %s\n", r.name, m[2])
		r.notes = append(r.notes, m[2])
		return
	}
	if m := done.FindStringSubmatch(line); m != nil {
		r := b.row(m[1])
		r.outcome, r.seconds = m[2], m[3]
		fmt.Printf("%s %s, %s s\n", r.name, r.outcome, r.seconds)
		return
	}
	if !startOf.MatchString(line) {
		fmt.Println("  | " + line)
	}
}

// print prints the table. Each row that did not pass, or that docs/faults.md
// does not have, is a failed subtest.
func (b *table) print() {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SCENARIO\tOUTCOME\tSECONDS\tSEEN")
	for _, r := range b.rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.name, r.outcome, r.seconds, strings.Join(r.notes, "; "))
	}
	_ = w.Flush() // a strings.Builder takes everything
	fmt.Print("\n", text.String(), "\n")
	document, err := os.ReadFile("../../docs/faults.md")
	if err != nil {
		b.t.Error(err)
	}
	for _, r := range b.rows {
		b.t.Run(r.name, func(t *testing.T) {
			if !strings.Contains(string(document), "| "+r.name+" |") {
				t.Errorf("scenario %s is not in the fault table of docs/faults.md", r.name)
			}
			switch r.outcome {
			case "passed":
			case "skipped":
				t.Skip(strings.Join(r.notes, "; "))
			default:
				t.Errorf("scenario %s: %s", r.name, r.outcome)
			}
		})
	}
}
