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
	for _, c := range []struct {
		name, text string
		before     int
		want       []string
	}{
		{"nothing", "", 0, []string{}},
		{"only noise", "Pass 1: parsed user script\nTip: x\n", 0, []string{}},
		{"short", "a\nb\n", 0, []string{"a", "b"}},
		{"colours, control characters, bytes", "\x1b[31mERROR: \x1b[0mx\a\ty\xff\r\n", 0, []string{"ERROR: x    y�"}},
		{
			"parse error", "WARNING: Kernel function symbol table missing [man warning::symbols]\nparse error: expected literal\n        saw: operator\n     source: probe\n             ^\n\n1 parse error.\nPass 1: parse failed.  [man error::pass1]\nTip: x\n",
			0,
			[]string{"parse error: expected literal", "        saw: operator", "     source: probe", "             ^", "1 parse error.", "Pass 1: parse failed.  [man error::pass1]", "(2 more lines left out)"},
		},
		{
			"an error in chatter", chatter + "\nERROR: boo\n  at x\n" + chatter, 7,
			append(append([]string{"ERROR: boo", "  at x"}, long[40:]...), "(97 more lines left out)"),
		},
		{"a long line", strings.Repeat("x", 500), 0, []string{strings.Repeat("x", tailWidth) + "…"}},
	} {
		if got := UsefulTail(c.text, c.before); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, c.want)
		}
	}
}
