package stapout

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestUsefulTail(t *testing.T) {
	var long []string
	for i := range 50 {
		long = append(long, fmt.Sprintf("chatter %d", i))
	}
	chatter := strings.Join(long, "\n")
	parseError := strings.Join([]string{
		"WARNING: Kernel function symbol table missing [man warning::symbols]",
		"parse error: expected literal",
		"        saw: operator",
		"     source: probe",
		"             ^",
		"",
		"1 parse error.",
		"Pass 1: parse failed.  [man error::pass1]",
		"Tip: x",
		"",
	}, "\n")
	for _, c := range []struct {
		name, text string
		before     int
		want       []string
	}{
		{name: "nothing", want: []string{}},
		{name: "only noise", text: "Pass 1: parsed user script\nTip: x\n", want: []string{}},
		{name: "short", text: "a\nb\n", want: []string{"a", "b"}},
		{
			name: "colours, control characters, invalid UTF-8",
			text: "\x1b[31mERROR: \x1b[0mx\a\ty\xff\r\n",
			want: []string{"ERROR: x    y�"},
		},
		{
			name: "parse error",
			text: parseError,
			want: []string{
				"parse error: expected literal",
				"        saw: operator",
				"     source: probe",
				"             ^",
				"1 parse error.",
				"Pass 1: parse failed.  [man error::pass1]",
				"(2 more lines left out)",
			},
		},
		{
			name:   "an error amid other lines",
			text:   chatter + "\nERROR: boo\n  at x\n" + chatter,
			before: 7,
			want:   append(append([]string{"ERROR: boo", "  at x"}, long[40:]...), "(97 more lines left out)"),
		},
		{
			name: "a long line",
			text: strings.Repeat("x", 500),
			want: []string{strings.Repeat("x", tailWidth) + "…"},
		},
	} {
		if got := UsefulTail(c.text, c.before); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, c.want)
		}
	}
}
