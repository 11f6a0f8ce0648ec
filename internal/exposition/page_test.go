package exposition

import (
	"fmt"
	"strings"
	"testing"
)

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
		{"truncated", "a 1\nx 12", Options{Truncated: true}, "a 1\n", "truncated-last-line"},
		{"truncated after a newline", "a 1\nx 12\n", Options{Truncated: true}, "a 1\nx 12\n", ""},
		{"truncated after blanks", "a 1\n  ", Options{Truncated: true}, "a 1\n", ""},
		{"truncated, no other line", "a 1", Options{Truncated: true}, "", "truncated-last-line"},
		{"truncated after a bad line", "-\na 1\nx", Options{Truncated: true}, "a 1\n", "truncated-last-line bad-name"},
		{
			"longest text of the tapset",
			long,
			Options{},
			"a_metric_whose_name_fills_the_line 1\n",
			fmt.Sprintf("truncated-last-line duplicate-series*%d", strings.Count(long, "\n")-1),
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
	if got := Sanitize(
		[]byte("a 1\nb 2"),
		Options{Truncated: true},
	).First.String(); got != `truncated-last-line in line 2: "b 2"` {
		t.Error(got)
	}
}

func TestEmptyAndInvalid(t *testing.T) {
	tests := []struct {
		in             string
		empty, invalid bool
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
		if p.Empty() != tt.empty || p.Invalid() != tt.invalid {
			t.Errorf("%q: empty %v, invalid %v", tt.in, p.Empty(), p.Invalid())
		}
	}
	p := NoSamples("a.stp has\nno samples yet")
	if string(p.Text()) != "# a.stp has no samples yet\n" || string(p.OpenMetrics()) != "# EOF\n" {
		t.Errorf("%q %q", p.Text(), p.OpenMetrics())
	}
	assertSound(t, p)
}

func TestHeadroom(t *testing.T) {
	for size, want := range map[int]string{
		0:           "65535 false",
		58900:       "6635 false",
		59000:       "6535 true",
		MaxText:     "0 true",
		MaxText + 9: "0 true",
	} {
		left, scarce := (&Page{Size: size}).Headroom()
		if got := fmt.Sprint(left, scarce); got != want {
			t.Errorf("%d: %s, want %s", size, got, want)
		}
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
