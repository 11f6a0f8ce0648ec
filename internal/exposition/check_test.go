package exposition

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// outcome is what Check did, in the words of the tables: "bad-value" for a line
// left out, "+escape" for a mend, "bad-value*2" for two.
func outcome(p *Page) string {
	var words []string
	add := func(word string, n int) {
		if n > 1 {
			word = fmt.Sprintf("%s*%d", word, n)
		}
		if n > 0 {
			words = append(words, word)
		}
	}
	for _, r := range Reasons() {
		add(r.String(), p.Dropped[r])
	}
	for _, m := range Repairs() {
		add("+"+m.String(), p.Repaired[m])
	}
	return strings.Join(words, " ")
}

func TestFaults(t *testing.T) {
	tests := []struct {
		name, in, out, did string
	}{
		{"nothing wrong", "a 1\n", "a 1\n", ""},
		{"nothing at all", "", "", ""},

		// Names.
		{"name begins with a digit", "a 1\n9a 1\nb 2\n", "a 1\nb 2\n", "bad-name"},
		{"no name", "a 1\n{x=\"1\"} 1\n", "a 1\n", "bad-name"},
		{"braces only", "a 1\n{} 1\n", "a 1\n", "bad-name"},
		{"dash in a name", "a-b 1\nb 2\n", "b 2\n", "bad-name"},
		{"dot in a name, which Prometheus takes for a value", "a.5 1\nb 2\n", "b 2\n", "bad-name"},
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
		{"no value behind labels", "a{x=\"1\"}\nb 2\n", "b 2\n", "bad-value"},
		{"word for a value", "ERROR: read fault\nb 2\n", "b 2\n", "bad-value"},
		{"hexadecimal", "a 0x10\na 0x1p3\nb 2\n", "b 2\n", "bad-value*2"},
		{"underscores", "a 1_000\nb 2\n", "b 2\n", "bad-value"},
		{"out of range", "a 1e999\nb 2\n", "b 2\n", "bad-value"},
		{"comma for a point", "a 1,5\nb 2\n", "b 2\n", "bad-value"},
		{"two values run together", "a 12a 1234\nb 2\n", "b 2\n", "bad-value"},
		{"brace behind the value", "a 1{}\nb 2\n", "b 2\n", "bad-value"},
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
		{"something behind the timestamp", "a 1 5 x\nb 2\n", "b 2\n", "bad-timestamp"},
		{"exemplar", "a 1 # {t=\"1\"} 1\nb 2\n", "b 2\n", "bad-timestamp"},

		// Escapes and UTF-8.
		{"exposition escapes stay", "a{x=\"\\\\ \\\" \\n\"} 1\n", "a{x=\"\\\\ \\\" \\n\"} 1\n", ""},
		{"octal", `a{x="\001\033[1m"} 1` + "\n", "a{x=\"\x01\x1b[1m\"} 1\n", "+escape"},
		{"octal, a digit behind it", `a{x="\0016"} 1` + "\n", "a{x=\"\x016\"} 1\n", "+escape"},
		{"octal UTF-8", `a{x="\303\251"} 1` + "\n", "a{x=\"é\"} 1\n", "+escape"},
		{"bpf's hex UTF-8", `a{x="\xc3\xa9t\xc3\xa9"} 1` + "\n", "a{x=\"été\"} 1\n", "+escape"},
		{"bpf's hex, a digit behind it", `a{x="\x0abc"} 1` + "\n", `a{x="\nbc"} 1` + "\n", "+escape"},
		{"kernel's UTF-8", `a{x="\u00E9\U0001F600"} 1` + "\n", "a{x=\"é😀\"} 1\n", "+escape"},
		{
			"C's short escapes",
			`a{x="\a\b\f\n\r\t\v\e\'\?\\\""} 1` + "\n",
			"a{x=\"\a\b\f\\n\r\t\v\x1b'?\\\\\\\"\"} 1\n",
			"+escape",
		},
		{
			"escaped quote and backslash by number",
			`a{x="\x22\x5c\042\134"} 1` + "\n",
			`a{x="\"\\\"\\"} 1` + "\n",
			"+escape",
		},
		{"escapes in one of two labels", `a{x="\\n",y="\t"} 1` + "\n", "a{x=\"\\\\n\",y=\"\t\"} 1\n", "+escape"},
		{"NUL by number", `a{x="\000"} 1` + "\n", "a{x=\"\x00\"} 1\n", "+escape"},
		{"no such escape", `a{x="\d"} 1` + "\nb 2\n", "b 2\n", "bad-escape"},
		{"hex without digits", `a{x="\xg"} 1` + "\nb 2\n", "b 2\n", "bad-escape"},
		{"octal above a byte", `a{x="\777"} 1` + "\nb 2\n", "b 2\n", "bad-escape"},
		{"half a surrogate", `a{x="\ud800"} 1` + "\nb 2\n", "b 2\n", "bad-escape"},
		{"not UTF-8", "a{x=\"\xff\"} 1\nb 2\n", "b 2\n", "not-utf8"},
		{"not UTF-8 by number", `a{x="\303("} 1` + "\nb 2\n", "b 2\n", "not-utf8"},
		{"string that stap cut", `a{x="long"...,y="2"} 1` + "\n", `a{x="long...",y="2"} 1` + "\n", "+cut-string"},
		{
			"string that stap cut, with escapes",
			`a{x="\t\001"...} 1` + "\n",
			"a{x=\"\t\x01...\"} 1\n",
			"+escape +cut-string",
		},
		{"label not UTF-8 behind a cut string", "a{x=\"1\"...,y=\"\xff\"} 1\nb 2\n", "b 2\n", "not-utf8"},

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

		// HELP and TYPE.
		{"second HELP", "# HELP a x\n# HELP a y\na 1\n", "# HELP a x\na 1\n", "+metadata"},
		{"second TYPE", "# TYPE a gauge\na 1\n# TYPE a counter\n", "# TYPE a gauge\na 1\n", "+metadata"},
		{
			"TYPE behind samples",
			"a 1\n# TYPE a gauge\na{x=\"1\"} 1\n",
			"# TYPE a gauge\na 1\na{x=\"1\"} 1\n",
			"+metadata",
		},
		{"HELP behind samples", "a 1\n# HELP a x\n", "a 1\n# HELP a x\n", ""},
		{"unknown type", "# TYPE a thing\na 1\n", "a 1\n", "bad-metadata"},
		{"type that the text format does not know", "# TYPE a info\na 1\n", "a 1\n", "bad-metadata"},
		{"no type", "# TYPE a\n# TYPE a \na 1\n", "a 1\n", "bad-metadata*2"},
		{"no name in TYPE", "# TYPE \n# TYPE - gauge\n# TYPE a-b gauge\na 1\n", "a 1\n", "bad-metadata*3"},
		{"type in capitals", "# TYPE a  Counter \na 1\n", "# TYPE a counter\na 1\n", "+metadata"},
		{"OpenMetrics' word for untyped", "# TYPE a unknown\na 1\n", "# TYPE a untyped\na 1\n", "+metadata"},
		{"quoted name in TYPE", "# TYPE \"a\" gauge\na 1\n", "# TYPE a gauge\na 1\n", "+metadata"},
		{
			"open quote in HELP",
			"# HELP \"a x\na 1\n# HELP b \"x\"\nb 2\n",
			"a 1\n# HELP b \"x\"\nb 2\n",
			"bad-metadata",
		},
		{"no name in HELP", "# HELP \n# HELP\na 1\n", "# HELP\na 1\n", "bad-metadata"},
		{
			"HELP without text",
			"# HELP a\n# HELP b \na 1\nb{x=\"1\"} 2\n",
			"# HELP a\n# HELP b \nb{x=\"1\"} 2\na 1\n",
			"+scattered",
		},
		{
			"HELP with backslashes",
			"# HELP a \\d \\n \\\\ \\\" \\\na 1\n",
			"# HELP a \\\\d \\n \\\\ \\\" \\\\\na 1\n",
			"+metadata",
		},
		{"HELP that is not UTF-8", "# HELP a \xff\na 1\n", "a 1\n", "not-utf8"},
		{"HELP without blank before it", "#HELP a x\n#TYPE a gauge\na 1\n", "#HELP a x\n#TYPE a gauge\na 1\n", ""},

		// Duplicates.
		{"same line twice", "a 1\nb 2\na 1\n", "a 1\nb 2\n", "duplicate-series"},
		{"same series, other value", "a{x=\"1\"} 1\na{x=\"1\"} 2\n", "a{x=\"1\"} 1\n", "duplicate-series"},
		{
			"same labels in another order",
			"a{x=\"1\",y=\"2\"} 1\na { y = \"2\" , x=\"1\" } 2\n",
			"a{x=\"1\",y=\"2\"} 1\n",
			"duplicate-series",
		},
		{"an empty label is none", "a 1\na{} 2\na{x=\"\"} 3\n", "a 1\n", "duplicate-series*2"},
		{
			"same series by another escape",
			`a{x="\x41"} 1` + "\na{x=\"A\"} 2\n",
			"a{x=\"A\"} 1\n",
			"duplicate-series +escape",
		},
		{"same series at another time", "a 1\na 1 5\na 1 6\na 1 06\n", "a 1\na 1 5\na 1 6\n", "duplicate-series"},
		{
			"values swapped",
			"a{x=\"1\",y=\"2\"} 1\na{x=\"2\",y=\"1\"} 1\n",
			"a{x=\"1\",y=\"2\"} 1\na{x=\"2\",y=\"1\"} 1\n",
			"",
		},
		{
			"doubled text",
			"# TYPE a gauge\na 1\nb 2\n# TYPE a gauge\na 1\nb 2\n",
			"# TYPE a gauge\na 1\nb 2\n",
			"duplicate-series*2 +metadata",
		},

		// Families.
		{
			"scattered",
			"a{x=\"1\"} 1\nb{x=\"1\"} 1\na{x=\"2\"} 2\nb{x=\"2\"} 2\n",
			"a{x=\"1\"} 1\na{x=\"2\"} 2\nb{x=\"1\"} 1\nb{x=\"2\"} 2\n",
			"+scattered*2",
		},
		{
			"metadata first, then samples",
			"# TYPE a gauge\n# TYPE b gauge\na 1\nb 2\n",
			"# TYPE a gauge\na 1\n# TYPE b gauge\nb 2\n",
			"+scattered*2",
		},
		{
			"comments go with the next line",
			"# one\na{x=\"1\"} 1\nb 1\n# two\na 2\n# end\n",
			"# one\na{x=\"1\"} 1\n# two\na 2\nb 1\n# end\n",
			"+scattered",
		},
		{
			"histogram in one piece",
			"# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n",
			"# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n", "",
		},
		{
			"histogram in pieces",
			"h_bucket{le=\"1\"} 1\na 1\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nb 1\nh_count 2\n",
			"# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\na 1\nb 1\n",
			"+scattered*2 +metadata",
		},
		{
			"histogram with le that is no number",
			"# TYPE h histogram\nh_bucket{le=\"x\"} 1\nh_bucket{le=\"+Inf\"} 2\n",
			"# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\n",
			"bad-label",
		},
		{
			"histogram with counts below zero",
			"# TYPE h histogram\nh_bucket{le=\"1\"} -1\nh_count -1\nh_sum -1\n",
			"# TYPE h histogram\nh_sum -1\n",
			"bad-value*2",
		},
		{
			"summary with quantile that is no number",
			"# TYPE s summary\ns{quantile=\"x\"} 1\ns{quantile=\"0.5\"} 1\ns_sum 1\ns_count 1\ns_bucket 1\n",
			"# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 1\ns_count 1\ns_bucket 1\n",
			"bad-label",
		},
		{
			"HELP of a part",
			"# TYPE h histogram\n# HELP h_sum x\nh_sum 1\n",
			"# TYPE h histogram\n# HELP h_sum x\nh_sum 1\n",
			"",
		},
		{
			"TYPE of a part",
			"# TYPE h histogram\n# TYPE h_sum gauge\nh_sum 1\n",
			"# TYPE h histogram\nh_sum 1\n",
			"+metadata",
		},
		{
			"TYPE of a part that comes first",
			"# TYPE h_sum gauge\nh_sum 1\n# TYPE h histogram\nh_count 1\n",
			"# TYPE h_sum gauge\nh_sum 1\n# TYPE h histogram\nh_count 1\n",
			"",
		},
		{
			"parts of a histogram without TYPE are families",
			"h_sum 1\nh_count 2\nh_sum{x=\"1\"} 1\n",
			"h_sum 1\nh_sum{x=\"1\"} 1\nh_count 2\n",
			"+scattered",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := Sanitize([]byte(tt.in), Options{})
			if got := string(p.Text()); got != tt.out {
				t.Errorf("in\n%q\ngave\n%q, want\n%q", tt.in, got, tt.out)
			}
			if got := outcome(p); got != tt.did {
				t.Errorf("did %q, want %q", got, tt.did)
			}
			sound(t, p)
		})
	}
}

func manyLabelsText(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "l%d=\"%d\",", i, i)
	}
	return b.String()
}

// sound fails the test when a page breaks a promise that holds for every page.
func sound(t *testing.T, p *Page) {
	t.Helper()
	if err := parses(p.Text()); err != nil {
		t.Errorf("the page does not parse: %v\n%q", err, p.Text())
	}
	again := Sanitize(bytes.Clone(p.Text()), Options{})
	if !bytes.Equal(again.Text(), p.Text()) || outcome(again) != "" || again.Samples != p.Samples ||
		again.Families != p.Families {
		t.Errorf(
			"the page is not valid to Check itself: %s, %d and %d samples, %d and %d families\n%q\nbecame\n%q",
			outcome(again),
			p.Samples,
			again.Samples,
			p.Families,
			again.Families,
			p.Text(),
			again.Text(),
		)
	}
	if (p.Problems() > 0) != (p.First != nil) {
		t.Errorf("%d problems, but the first is %v", p.Problems(), p.First)
	}
	if om := p.OpenMetrics(); !bytes.HasSuffix(om, []byte("# EOF\n")) || p.Samples != samplesIn(om) {
		t.Errorf("%d samples became\n%s", p.Samples, om)
	}
}

// samplesIn counts the lines that are not comments or blank.
func samplesIn(text []byte) int {
	n := 0
	for line := range bytes.Lines(text) {
		if line = bytes.TrimLeft(line, " \t"); line[0] != '#' && line[0] != '\n' {
			n++
		}
	}
	return n
}

func TestLastLine(t *testing.T) {
	long := strings.Repeat("a_metric_whose_name_fills_the_line 1\n", MaxText)[:MaxText-1]
	long = long[:strings.LastIndexByte(long, '\n')+1]
	long += "b" + strings.Repeat(" ", MaxText-2-len(long)) + "1"
	if len(long) != MaxText {
		t.Fatal(len(long))
	}
	tests := []struct {
		name, in string
		opts     Options
		out, did string
	}{
		{"kept", "a 1\nx 12", Options{}, "a 1\nx 12\n", "+newline"},
		{"cut at a cap", "a 1\nx 12", Options{AtCap: true}, "a 1\n", "torn-last-line"},
		{"child ended", "a 1\nx 12", Options{ChildEnded: true}, "a 1\n", "torn-last-line"},
		{"child ended, whole", "a 1\nx 12\n", Options{ChildEnded: true}, "a 1\nx 12\n", ""},
		{"cut behind a newline", "a 1\n  ", Options{AtCap: true}, "a 1\n", ""},
		{"all torn", "a 1", Options{AtCap: true}, "", "torn-last-line"},
		{"torn and bad before it", "-\na 1\nx", Options{AtCap: true}, "a 1\n", "torn-last-line bad-name"},
		{
			"at the cap without being told",
			long,
			Options{},
			"a_metric_whose_name_fills_the_line 1\n",
			fmt.Sprintf("torn-last-line duplicate-series*%d", strings.Count(long, "\n")-1),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := Sanitize([]byte(tt.in), tt.opts)
			if string(p.Text()) != tt.out || outcome(p) != tt.did {
				t.Errorf("gave %q, %s; want %q, %s", p.Text(), outcome(p), tt.out, tt.did)
			}
		})
	}
}

func TestFirstProblem(t *testing.T) {
	tests := []struct{ in, want string }{
		{"a 1\n\nb x\nc y\n", `bad-value in line 3: "b x"`},
		{"a 1\na 2\n-\n", `duplicate-series in line 2: "a 2"`},
		{"a 1\n" + strings.Repeat("é", 50), `bad-name in line 2: "` + strings.Repeat("é", 40) + `"…`},
		{"a 1\r\nb\xff 1\r\n", `bad-name in line 2: "b\xff 1\r"`},
	}
	for _, tt := range tests {
		if got := Sanitize([]byte(tt.in), Options{}).First.String(); got != tt.want {
			t.Errorf("%q: %s, want %s", tt.in, got, tt.want)
		}
	}
	if got := Sanitize([]byte("a 1\nb 2"), Options{AtCap: true}).First.String(); got != `torn-last-line in line 2: "b 2"` {
		t.Error(got)
	}
}

func TestEmptyAndRuined(t *testing.T) {
	tests := []struct {
		in            string
		empty, ruined bool
	}{
		{"", true, false},
		{"\n \n\r\n", true, false},
		{"# nothing yet\n", false, false},
		{"a 1\n", false, false},
		{"a 1\nb x\n", false, false},
		{"b x\n", false, true},
		{"# c\nb x\n", false, true},
		{"\x00\x00", false, true},
	}
	for _, tt := range tests {
		p := Sanitize([]byte(tt.in), Options{})
		if p.Empty() != tt.empty || p.Invalid() != tt.ruined {
			t.Errorf("%q: empty %v, ruined %v", tt.in, p.Empty(), p.Invalid())
		}
	}
	p := NoSamples("a.stp has\nno samples yet")
	if string(p.Text()) != "# a.stp has no samples yet\n" || string(p.OpenMetrics()) != "# EOF\n" {
		t.Errorf("%q %q", p.Text(), p.OpenMetrics())
	}
	sound(t, p)
}

func TestRoom(t *testing.T) {
	for size, want := range map[int]string{0: "65535 false", 58900: "6635 false", 59000: "6535 true", MaxText: "0 true", MaxText + 9: "0 true"} {
		left, scarce := (&Page{Size: size}).Headroom()
		if got := fmt.Sprint(left, scarce); got != want {
			t.Errorf("%d: %s, want %s", size, got, want)
		}
	}
}

func TestDirectives(t *testing.T) {
	d, err := NewDirectives([]Metadata{
		{"c_total", Counter, "how \\ many\nthings"},
		{"g", Gauge, ""},
		{"u", Untyped, "help only"},
		{"h", Histogram, "a histogram"},
		{"nothing", Untyped, ""},
		{"absent", Gauge, "no samples of it"},
		{"c_sum", Summary, ""},
	})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, in, out, did string }{
		{
			"none there",
			"c_total 1\ng 2\nu 3\nnothing 4\n",
			"# HELP c_total how \\\\ many\\nthings\n# TYPE c_total counter\nc_total 1\n# TYPE g gauge\ng 2\n# HELP u help only\nu 3\nnothing 4\n",
			"",
		},
		{
			"the script's own hold",
			"# HELP c_total mine\n# TYPE c_total gauge\nc_total 1\n",
			"# HELP c_total mine\n# TYPE c_total gauge\nc_total 1\n",
			"",
		},
		{
			"HELP there",
			"# HELP c_total mine\nc_total 1\n",
			"# HELP c_total mine\n# TYPE c_total counter\nc_total 1\n",
			"",
		},
		{
			"TYPE there",
			"# TYPE c_total gauge\nc_total 1\n",
			"# TYPE c_total gauge\n# HELP c_total how \\\\ many\\nthings\nc_total 1\n",
			"",
		},
		{
			"HELP comes late",
			"c_total 1\n# HELP c_total mine\n",
			"# HELP c_total mine\n# TYPE c_total counter\nc_total 1\n",
			"",
		},
		{"TYPE comes late", "g 1\n# TYPE g counter\n", "# TYPE g counter\ng 1\n", "+metadata"},
		{
			"histogram",
			"a 1\nh_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\nb 1\n",
			"a 1\n# HELP h a histogram\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\nb 1\n",
			"",
		},
		{
			"scattered histogram",
			"h_bucket{le=\"1\"} 1\na 1\nh_sum 1\n",
			"# HELP h a histogram\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 1\na 1\n",
			"+scattered",
		},
		{
			"the text knows a part",
			"# TYPE h_count gauge\nh_count -1\nh_sum 1\n",
			"# TYPE h_count gauge\nh_count -1\nh_sum 1\n",
			"",
		},
		{
			"part of a part",
			"# TYPE c histogram\nc_sum 1\nc_sum_sum 1\n",
			"# TYPE c histogram\nc_sum 1\nc_sum_sum 1\n",
			"",
		},
		{"wrong type for the samples", "h_bucket{le=\"x\"} 1\na 1\n", "a 1\n", "bad-label"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := Sanitize([]byte(tt.in), Options{Directives: d})
			if string(p.Text()) != tt.out || outcome(p) != tt.did {
				t.Errorf("gave %q, %s; want %q, %s", p.Text(), outcome(p), tt.out, tt.did)
			}
			sound(t, p)
		})
	}
}

func TestWrongDirectives(t *testing.T) {
	d, err := NewDirectives(
		[]Metadata{
			{"9", Gauge, ""},
			{"a", Gauge, ""},
			{"a", Counter, ""},
			{"b", Gauge, "\xff"},
			{"", Gauge, ""},
			{"h_sum", Gauge, ""},
			{"h", Histogram, ""},
		},
	)
	want := `metadata of "9": not a metric name
metadata of "a": given twice
metadata of "b": help text is not UTF-8
metadata of "": not a metric name
metadata of "h_sum": it is a part of the histogram "h"`
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	if got := string(Sanitize([]byte("a 1\n"), Options{Directives: d}).Text()); got != "# TYPE a gauge\na 1\n" {
		t.Errorf("got %q", got)
	}
}

// A valid text is served from the bytes that were read.
func TestValidTextIsNotCopied(t *testing.T) {
	text := pageText(3 << 10)
	p := Sanitize(text, Options{})
	if got := p.Text(); &got[0] != &text[0] || len(got) != len(text) {
		t.Error("the body is a copy")
	}
	if n := testing.AllocsPerRun(100, func() { Sanitize(text, Options{}) }); n > 1 && !raceEnabled {
		t.Errorf("%v allocations per read, want 1: the Page", n)
	}
	p.OpenMetrics()
	p.Render(Form{Gzip: true})
	p.Render(Form{Format: FormatOpenMetrics, Gzip: true})
	if n := testing.AllocsPerRun(100, func() {
		for _, f := range []Format{FormatText, FormatOpenMetrics} {
			p.Render(Form{Format: f, Gzip: true})
			p.Render(Form{Format: f, Gzip: false})
		}
	}); n > 0 {
		t.Errorf("%v allocations per shared reply", n)
	}
}
