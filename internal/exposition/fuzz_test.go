package exposition

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// addCorpus calls add for each line of a file in testdata, which holds inputs
// that fuzzing found, as quoted Go strings separated by blanks. The module in
// oracle/ uses the same files.
func addCorpus(f *testing.F, file string, add func(fields []string)) {
	f.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var fields []string
		for rest := strings.TrimSpace(line); rest != ""; rest = strings.TrimPrefix(rest, " ") {
			quoted, err := strconv.QuotedPrefix(rest)
			if err != nil {
				f.Fatalf("%s: %v: %s", file, err, rest)
			}
			s, _ := strconv.Unquote(quoted)
			fields = append(fields, s)
			rest = rest[len(quoted):]
		}
		add(fields)
	}
}

// seeds adds the texts that fuzzing starts from.
func seeds(f *testing.F) {
	addCorpus(f, "testdata/texts.txt", func(fields []string) { f.Add([]byte(fields[0])) })
	for _, s := range []string{
		"# HELP a x\n# TYPE a gauge\na 1\n",
		"# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2 5\n",
		"# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 1\ns_count 1\n",
		"a{x=\"\\001\\xc3\\xa9\\u00e9\"...,y=\"\\\\\"} 1\r\nb 2\na 1",
		"{\"a\",\"b\"=\"c\"} NaN\n\t# TYPE\n#HELP a\n a  { x = \"1\" , }  -1e3  17\n",
		"a_total 1\nh_sum 1\n# TYPE a_total counter\n# TYPE h histogram\nh_count -1\nh 1\n",
	} {
		f.Add([]byte(s))
	}
}

// sampleLine is a second, independent grammar of a sample line.
var sampleLine = regexp.MustCompile(strings.ReplaceAll(
	`^[a-zA-Z_:][a-zA-Z0-9_:]*[ \t]*`+
		`([ \t]|\{[ \t]*(LABEL[ \t]*(,[ \t]*LABEL[ \t]*)*,?)?[ \t]*\})`+
		`[ \t]*[^ \t{]+([ \t]+[0-9]+)?$`,
	"LABEL",
	`[a-zA-Z_][a-zA-Z0-9_]*[ \t]*=[ \t]*"([^"\\\n]|\\["\\n])*"`,
))

var metadataLine = regexp.MustCompile(
	`^[ \t]*#[ \t]+(HELP[ \t]+[a-zA-Z_:][a-zA-Z0-9_:]*([ \t].*)?|` +
		`TYPE[ \t]+[a-zA-Z_:][a-zA-Z0-9_:]*[ \t](counter|gauge|histogram|summary|untyped))$`,
)

// plain reports whether PromParser accepts each line too, and whether the text
// has nothing that Sanitize repairs although all parsers accept it.
func plain(text []byte) bool {
	for line := range strings.Lines(string(text)) {
		line, whole := strings.CutSuffix(line, "\n")
		word := strings.TrimLeft(line, " \t")
		switch {
		case !whole || strings.ContainsAny(line, "\r"):
			return false
		case word == "":
		case word[0] == '#':
			fields := strings.FieldsFunc(word[1:], func(r rune) bool { return r == ' ' || r == '\t' })
			if strings.Contains(line, "\x00") {
				return false
			}
			if len(fields) > 0 && (fields[0] == "HELP" || fields[0] == "TYPE") &&
				word != "# HELP" && word != "# TYPE" && !metadataLine.MatchString(line) {
				return false
			}
		case !sampleLine.MatchString(line):
			return false
		}
	}
	return true
}

// Whatever goes in, the result parses. Valid text stays unchanged.
func FuzzSanitize(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		in := bytes.Clone(text)
		p := Sanitize(text, Options{})
		assertSound(t, p)
		if !plain(in) || parses(in) != nil || !validValues(in) {
			return
		}
		switch outcome(p) {
		case "":
			if !bytes.Equal(in, p.Text()) {
				t.Fatalf("valid\n%q\nbecame\n%q", in, p.Text())
			}
		default:
			// Two things may happen to a valid text: lines move, among them a
			// TYPE to before the samples of its family, and duplicates are
			// dropped.
			for r, n := range p.Dropped {
				if n > 0 && Reason(r) != DuplicateSeries {
					t.Fatalf("valid\n%q\nlost lines: %s", in, outcome(p))
				}
			}
			for m, n := range p.Repaired {
				if n > 0 && Repair(m) != RepairScattered &&
					(Repair(m) != RepairMetadata || p.Repaired[RepairScattered] == 0) {
					t.Fatalf("valid\n%q\nwas repaired: %s", in, outcome(p))
				}
			}
			out := slices.Collect(bytes.Lines(p.Text()))
			missing := 0
			for line := range bytes.Lines(in) {
				if i := slices.IndexFunc(out, func(l []byte) bool { return bytes.Equal(l, line) }); i >= 0 {
					out = slices.Delete(out, i, i+1)
				} else {
					missing++
				}
			}
			if len(out) != 0 || missing != p.Dropped[DuplicateSeries] {
				t.Fatalf("valid\n%q\nbecame\n%q", in, p.Text())
			}
		}
	})
}

// validValues reports whether the text is UTF-8. Label values and HELP texts
// must be; comments may be anything.
func validValues(text []byte) bool {
	return bytes.Equal(bytes.ToValidUTF8(text, nil), text)
}

// lines builds a text from a choice of lines, two bytes each, so that fuzzing
// reaches the interactions between lines.
func lines(choice []byte) []byte {
	names := [...]string{"h", "h_sum", "h_count", "h_bucket", "h_sum_sum", "h_sum_count", "a", "a_total"}
	forms := [...]string{
		"N 1",
		"N -1",
		"N{le=\"1\"} 1",
		"N{le=\"1.0\"} -2",
		"N{le=\"x\"} 1",
		"N{quantile=\"0.5\"} NaN",
		"N{quantile=\"\"} 1",
		"N{x=\"\\t\"} 1",
		"N 1 5",
		"N x",
		"# TYPE N histogram",
		"# TYPE N summary",
		"# TYPE N gauge",
		"# TYPE N counter",
		"# TYPE N untyped",
		"# TYPE N Histogram",
		"# TYPE N",
		"#TYPE N summary",
		"# HELP N x",
		"# HELP N \\x",
		"# HELP N",
		"# HELP N ",
		"#HELP N x",
		"# N",
		"",
		" N 1",
		"{\"N\"} 1",
	}
	var text []byte
	for i := 0; i+1 < len(choice); i += 2 {
		text = append(
			text,
			strings.ReplaceAll(forms[int(choice[i])%len(forms)], "N", names[int(choice[i+1])%len(names)])...)
		text = append(text, '\n')
	}
	return text
}

// FuzzLines tests the promises of FuzzSanitize and FuzzMerge with texts built
// from lines.
func FuzzLines(f *testing.F) {
	addCorpus(f, "testdata/lines.txt", func(fields []string) { f.Add([]byte(fields[0]), []byte(fields[1])) })
	f.Add([]byte{10, 0, 2, 3, 18, 1, 0, 2}, []byte{12, 1, 1, 1})
	f.Add([]byte{0, 1, 0, 0, 10, 0, 13, 4, 3, 5}, []byte{11, 0, 0, 0, 11, 1, 0, 5})
	f.Fuzz(func(t *testing.T, one, two []byte) {
		a, b := Sanitize(lines(one), Options{}), Sanitize(lines(two), Options{})
		assertSound(t, a)
		assertSound(t, b)
		if in := lines(one); plain(in) && parses(in) == nil && outcome(a) == "" && !bytes.Equal(in, a.Text()) {
			t.Fatalf("valid\n%q\nbecame\n%q", in, a.Text())
		}
		m := Merge([]Source{{"a.stp", a}, {"b.stp", b}})
		assertSound(t, m)
		if m.Samples != a.Samples+b.Samples {
			t.Fatalf("%d samples of %d and %d", m.Samples, a.Samples, b.Samples)
		}
		var all []Metadata
		for line := range strings.Lines(string(lines(two))) {
			if fields := strings.Fields(line); len(fields) > 3 && fields[1] == "TYPE" {
				typ, _ := ParseType(fields[3])
				all = append(all, Metadata{fields[2], typ, "x"})
			} else if len(fields) > 3 && fields[1] == "HELP" {
				all = append(all, Metadata{fields[2], Untyped, fields[3]})
			}
		}
		d, _ := NewDirectives(all)
		assertSound(t, Sanitize(lines(one), Options{Directives: d}))
	})
}

// A text that is truncated anywhere loses at most the truncated line.
func FuzzTruncated(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		p := Sanitize(bytes.Clone(text), Options{Truncated: true})
		assertSound(t, p)
		end := bytes.LastIndexByte(text, '\n') + 1
		whole := Sanitize(bytes.Clone(text[:end]), Options{})
		if !bytes.Equal(p.Text(), whole.Text()) {
			t.Fatalf("truncated text\n%q\ngave\n%q, its complete lines\n%q", text, p.Text(), whole.Text())
		}
	})
}

func FuzzDirectives(f *testing.F) {
	f.Add([]byte("h_sum 1\na 1\n# HELP a x\nh_count -1\n"), "a", "h", "x\\y")
	f.Add([]byte("s{quantile=\"x\"} 1\ns_count 1\n# TYPE s_count gauge\n"), "s_count", "s", "")
	f.Fuzz(func(t *testing.T, text []byte, one, two, help string) {
		for typ := Untyped; typ <= Summary; typ++ {
			d, _ := NewDirectives([]Metadata{{one, Counter, help}, {two, typ, help}})
			p := Sanitize(bytes.Clone(text), Options{Directives: d})
			assertSound(t, p)
			without := Sanitize(bytes.Clone(text), Options{})
			if typ < Histogram && p.Samples != without.Samples {
				t.Fatalf("%d samples with directives, %d without", p.Samples, without.Samples)
			}
		}
	})
}

func FuzzMerge(f *testing.F) {
	f.Add(
		[]byte("# TYPE h histogram\nh_sum 1\nh_bucket{le=\"1\"} 1\n"),
		[]byte("h_sum{script=\"x\"} -1\n"),
		[]byte("# TYPE h_bucket summary\nh_bucket 1\n"),
	)
	f.Add(
		[]byte("# TYPE s summary\ns_sum 1\n"),
		[]byte("s_sum{exported_script=\"\",script=\"\"} -1\n"),
		[]byte("# TYPE s gauge\ns 1\n# TYPE s_sum histogram\ns_sum_count 1\n"),
	)
	addCorpus(
		f,
		"testdata/merges.txt",
		func(fields []string) { f.Add([]byte(fields[0]), []byte(fields[1]), []byte(fields[0])) },
	)
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		pages := [3]*Page{Sanitize(a, Options{}), Sanitize(b, Options{}), Sanitize(c, Options{})}
		p := Merge([]Source{{"a.stp", pages[0]}, {"b.stp", pages[1]}, {"c.stp", pages[2]}})
		assertSound(t, p)
		if want := pages[0].Samples + pages[1].Samples + pages[2].Samples; p.Samples != want {
			t.Fatalf("%d samples of %d", p.Samples, want)
		}
		assertSound(t, Merge([]Source{{"", pages[0]}, {"b.stp", pages[1]}, {"c.stp", pages[2]}}))
	})
}
