package exposition

import (
	"fmt"
	"strings"
	"testing"
)

// fault is a row of a table: a text, and what Sanitize makes of it.
type fault struct {
	name, in, out string
	did           string // see outcome
}

func testFaults(t *testing.T, faults []fault) {
	t.Helper()
	for _, tt := range faults {
		t.Run(tt.name, func(t *testing.T) {
			p := Sanitize([]byte(tt.in), Options{})
			if got := string(p.Text()); got != tt.out {
				t.Errorf("from\n%q\ngot\n%q, want\n%q", tt.in, got, tt.out)
			}
			if got := outcome(p); got != tt.did {
				t.Errorf("did %q, want %q", got, tt.did)
			}
			assertSound(t, p)
		})
	}
}

func TestFaultsOfLines(t *testing.T) {
	testFaults(t, []fault{
		{"nothing wrong", "a 1\n", "a 1\n", ""},
		{"nothing at all", "", "", ""},

		// Names.
		{"name begins with a digit", "a 1\n9a 1\nb 2\n", "a 1\nb 2\n", "bad-name"},
		{"no name", "a 1\n{x=\"1\"} 1\n", "a 1\n", "bad-name"},
		{"braces only", "a 1\n{} 1\n", "a 1\n", "bad-name"},
		{"dash in a name", "a-b 1\nb 2\n", "b 2\n", "bad-name"},
		{"dot in a name, which Prometheus parses as a value", "a.5 1\nb 2\n", "b 2\n", "bad-name"},
		{"name that is not ASCII", "é 1\nb 2\n", "b 2\n", "bad-name"},
		{"NUL bytes", "\x00\x00 1\nb 2\n", "b 2\n", "bad-name"},
		{
			"quoted classic name",
			"{\"a\"} 1\n{\"b\",x=\"1\"} 2\n{ \"c\" , \"x\" = \"1\" } 2\n",
			"a{} 1\nb{x=\"1\"} 2\nc{x=\"1\"} 2\n",
			"+quoted-name*3",
		},
		{"quoted name that Prometheus 2 does not know", "{\"a.b\"} 1\nb 2\n", "b 2\n", "bad-name"},
		{"quoted label that Prometheus 2 does not know", "a{\"x.y\"=\"1\"} 1\nb 2\n", "b 2\n", "bad-label"},
		{"byte order mark", "\uFEFFa 1\n", "a 1\n", "+blank"},

		// Labels.
		{"label begins with a digit", "a{9=\"1\"} 1\nb 2\n", "b 2\n", "bad-label"},
		{"colon in a label name", "a{x:y=\"1\"} 1\nb 2\n", "b 2\n", "bad-label"},
		{"label without value", "a{x} 1\nb 2\n", "b 2\n", "bad-label"},
		{"label value without quotes", "a{x=1} 1\nb 2\n", "b 2\n", "bad-label"},
		{"no comma between labels", "a{x=\"1\" y=\"2\"} 1\nb 2\n", "b 2\n", "bad-label"},
		{"two commas", "a{x=\"1\",,y=\"2\"} 1\nb 2\n", "b 2\n", "bad-label"},
		{"comma only", "a{,} 1\nb 2\n", "b 2\n", "bad-label"},
		{"label twice", "a{x=\"1\",x=\"2\"} 1\nb 2\n", "b 2\n", "bad-label"},
		{"the name as a label", "a{__name__=\"b\"} 1\nb 2\n", "b 2\n", "bad-label"},
		{"open braces", "a{x=\"1\" 1\nb 2\n", "b 2\n", "bad-label"},
		{"open quote", "a{x=\"1} 1\nb{y=\"2\"} 2\n", "b{y=\"2\"} 2\n", "bad-label"},
		{"quote inside", "a{x=\"1\"2\"} 1\nb 2\n", "b 2\n", "bad-label"},
		{"many labels, one twice", "a{" + manyLabelsText(40) + "l7=\"x\"} 1\nb 2\n", "b 2\n", "bad-label"},
		{"many labels", "a{" + manyLabelsText(40) + "} 1\n", "a{" + manyLabelsText(40) + "} 1\n", ""},

		// Values and timestamps.
		{"no value", "a\nb 2\n", "b 2\n", "bad-value"},
		{"no value after labels", "a{x=\"1\"}\nb 2\n", "b 2\n", "bad-value"},
		{"word for a value", "ERROR: read fault\nb 2\n", "b 2\n", "bad-value"},
		{"hexadecimal", "a 0x10\na 0x1p3\nb 2\n", "b 2\n", "bad-value*2"},
		{"underscores", "a 1_000\nb 2\n", "b 2\n", "bad-value"},
		{"out of range", "a 1e999\nb 2\n", "b 2\n", "bad-value"},
		{"comma for a point", "a 1,5\nb 2\n", "b 2\n", "bad-value"},
		{"two values run together", "a 12a 1234\nb 2\n", "b 2\n", "bad-value"},
		{"brace after the value", "a 1{}\nb 2\n", "b 2\n", "bad-value"},
		{
			"all spellings of numbers",
			"a 1\nb -1\nc +1.5e3\nd .5\ne 5.\nf NaN\ng nan\nh +Inf\ni -inf\nj Infinity\nk 1E-9\n",
			"a 1\nb -1\nc +1.5e3\nd .5\ne 5.\nf NaN\ng nan\nh +Inf\ni -inf\nj Infinity\nk 1E-9\n",
			"",
		},
		{"timestamp below zero", "a 1 -5\nb 2\n", "b 2\n", "bad-timestamp"},
		{"timestamp with a sign", "a 1 +5\nb 2\n", "b 2\n", "bad-timestamp"},
		{"timestamp with a fraction", "a 1 5.5\nb 2\n", "b 2\n", "bad-timestamp"},
		{
			"timestamp too large",
			"a 1 9223372036854775807\nc 1 9223372036854775808\n",
			"a 1 9223372036854775807\n",
			"bad-timestamp",
		},
		{"text after the timestamp", "a 1 5 x\nb 2\n", "b 2\n", "bad-timestamp"},
		{"exemplar", "a 1 # {t=\"1\"} 1\nb 2\n", "b 2\n", "bad-timestamp"},

		// Escapes and UTF-8.
		{"exposition escapes stay", "a{x=\"\\\\ \\\" \\n\"} 1\n", "a{x=\"\\\\ \\\" \\n\"} 1\n", ""},
		{"octal", `a{x="\001\033[1m"} 1` + "\n", "a{x=\"\x01\x1b[1m\"} 1\n", "+escape"},
		{"octal, followed by a digit", `a{x="\0016"} 1` + "\n", "a{x=\"\x016\"} 1\n", "+escape"},
		{"octal UTF-8", `a{x="\303\251"} 1` + "\n", "a{x=\"é\"} 1\n", "+escape"},
		{"bpf's hex UTF-8", `a{x="\xc3\xa9t\xc3\xa9"} 1` + "\n", "a{x=\"été\"} 1\n", "+escape"},
		{"bpf's hex, followed by a digit", `a{x="\x0abc"} 1` + "\n", `a{x="\nbc"} 1` + "\n", "+escape"},
		{"kernel's UTF-8", `a{x="\u00E9\U0001F600"} 1` + "\n", "a{x=\"é😀\"} 1\n", "+escape"},
		{
			"C's short escapes",
			`a{x="\a\b\f\n\r\t\v\e\'\?\\\""} 1` + "\n",
			"a{x=\"\a\b\f\\n\r\t\v\x1b'?\\\\\\\"\"} 1\n",
			"+escape",
		},
		{
			"quote and backslash as numbers",
			`a{x="\x22\x5c\042\134"} 1` + "\n",
			`a{x="\"\\\"\\"} 1` + "\n",
			"+escape",
		},
		{"escapes in one of two labels", `a{x="\\n",y="\t"} 1` + "\n", "a{x=\"\\\\n\",y=\"\t\"} 1\n", "+escape"},
		{"NUL as a number", `a{x="\000"} 1` + "\n", "a{x=\"\x00\"} 1\n", "+escape"},
		{"no such escape", `a{x="\d"} 1` + "\nb 2\n", "b 2\n", "bad-escape"},
		{"hex without digits", `a{x="\xg"} 1` + "\nb 2\n", "b 2\n", "bad-escape"},
		{"octal above a byte", `a{x="\777"} 1` + "\nb 2\n", "b 2\n", "bad-escape"},
		{"half a surrogate", `a{x="\ud800"} 1` + "\nb 2\n", "b 2\n", "bad-escape"},
		{"not UTF-8", "a{x=\"\xff\"} 1\nb 2\n", "b 2\n", "not-utf8"},
		{"not UTF-8, as numbers", `a{x="\303("} 1` + "\nb 2\n", "b 2\n", "not-utf8"},
		{"string that stap truncated", `a{x="long"...,y="2"} 1` + "\n", `a{x="long...",y="2"} 1` + "\n", "+cut-string"},
		{
			"string that stap truncated, with escapes",
			`a{x="\t\001"...} 1` + "\n",
			"a{x=\"\t\x01...\"} 1\n",
			"+escape +cut-string",
		},
		{"label not UTF-8 after a truncated string", "a{x=\"1\"...,y=\"\xff\"} 1\nb 2\n", "b 2\n", "not-utf8"},

		// Blanks and line ends.
		{
			"CR LF",
			"# HELP a x\r\n# TYPE a gauge\r\na 1\r\n\r\nb 2\r\n",
			"# HELP a x\n# TYPE a gauge\na 1\n\nb 2\n",
			"+blank*5",
		},
		{"blanks at the ends", " a 1\nb 2 \n\tc 3 5\t\n", "a 1\nb 2\nc 3 5\n", "+blank*3"},
		{
			"blanks inside",
			"a  {  x  =  \"1\"  ,  y=\"2\"  ,  }  1  5\n",
			"a  {  x  =  \"1\"  ,  y=\"2\"  ,  }  1  5\n",
			"",
		},
		{"no blanks", "a{x=\"1\"}1 5\n", "a{x=\"1\"}1 5\n", ""},
		{"blank lines and comments", "\n  \n# c\n#\n#d\na 1\n \n# e\n", "\n  \n# c\n#\n#d\na 1\n \n# e\n", ""},
		{"a comment with a NUL", "#\x00\na 1\n", "a 1\n", "bad-metadata"},

		// The last line.
		{"no newline at the end", "a 1\nb 2", "a 1\nb 2\n", "+newline"},
	})
}

func manyLabelsText(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "l%d=\"%d\",", i, i)
	}
	return b.String()
}
