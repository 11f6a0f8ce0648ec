package oracle

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"stap-exporter/internal/exposition"
)

// series parses all samples of a text as Prometheus 3 does: labels, value and
// timestamp of each. The parser panics on some texts, such as "{T}0"; that
// counts as an error.
func series(p textparse.Parser) (all []string, err error) {
	defer func() {
		if bug := recover(); bug != nil {
			all, err = nil, fmt.Errorf("the parser panics: %v", bug)
		}
	}()
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			slices.Sort(all)
			return all, nil
		}
		if err != nil {
			return all, err
		}
		if entry != textparse.EntrySeries {
			continue
		}
		var ls labels.Labels
		p.Labels(&ls)
		_, ts, v := p.Series()
		if name, twice := ls.HasDuplicateLabelNames(); twice {
			return all, fmt.Errorf("label %q twice in %s", name, ls)
		}
		if !ls.IsValid(model.LegacyValidation) {
			return all, fmt.Errorf("invalid labels %s", ls)
		}
		all = append(all, format(ls, ts, v))
	}
}

// format formats a sample. Whether Prometheus normalizes le and quantile
// depends on the preceding TYPE line, so all of them are normalized here.
func format(ls labels.Labels, ts *int64, v float64) string {
	b := labels.NewBuilder(ls)
	for _, name := range []string{model.BucketLabel, model.QuantileLabel} {
		if f, err := strconv.ParseFloat(ls.Get(name), 64); err == nil {
			b.Set(name, fmt.Sprint(f))
		}
	}
	when := ""
	if ts != nil {
		when = fmt.Sprint(*ts)
	}
	return fmt.Sprint(b.Labels(), math.Float64bits(v), " ", when)
}

func textSeries(text []byte) ([]string, error) {
	return series(textparse.NewPromParser(bytes.Clone(text), labels.NewSymbolTable(), false))
}

func openMetricsSeries(text []byte) ([]string, error) {
	return series(textparse.NewOpenMetricsParser(bytes.Clone(text), labels.NewSymbolTable()))
}

func expfmtTakes(text []byte) bool {
	p := expfmt.NewTextParser(model.LegacyValidation)
	_, err := p.TextToMetricFamilies(bytes.NewReader(text))
	return err == nil
}

// alwaysRepaired matches what is repaired although both parsers accept it, see
// the package comment of exposition: CR LF, blanks before a name (which
// PromParser makes a part of the name), quoted names, a value that touches the
// name before it, NUL in comments, and HELP and TYPE that only expfmt
// recognizes.
var alwaysRepaired = regexp.MustCompile(
	`\r|(?m:^[a-zA-Z_:][a-zA-Z0-9_:]*[^a-zA-Z0-9_:{ \t\n])|\x00|(?m:^[ \t]+[^# \t\n])|(?m:^[ \t]*\{)|[{,][ \t]*"|` +
		`(?m:^[ \t]*#(HELP|TYPE))|(?m:^[ \t]*#[ \t]*(HELP|TYPE)[ \t]+")|[^\n]$`,
)

// largeTimestamp matches timestamps whose seconds, as a float, may not convert
// back to the same milliseconds.
var largeTimestamp = regexp.MustCompile(`[0-9]{14,}`)

// addCorpus calls add for each line of a file in testdata, which holds inputs
// that fuzzing found, as quoted Go strings separated by blanks. The files
// belong to package exposition.
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

func seeds(f *testing.F) {
	addCorpus(f, "../testdata/texts.txt", func(fields []string) { f.Add([]byte(fields[0])) })
	for _, s := range []string{
		"# HELP a x\n# TYPE a gauge\na 1\n",
		"# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2 1700000000123\n",
		"# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 1\ns_count 1\n",
		"a{x=\"\\001\\xc3\\xa9\\u00e9\"...,y=\"\\\\\"} 1\r\nb 2\na 1",
		"{\"a\",\"b\"=\"c\"} NaN\n\t# TYPE\n#HELP a\n a  { x = \"1\" , }  -1e3  17\n",
		"a_total 1\nh_sum 1\n# TYPE a_total counter\n# TYPE h histogram\nh_count -1\nh 1\n",
		"# HELP a \\\\ \\n \\\" \" \\x\n# TYPE a_total counter\na_total{} 1\n#\x00\na{x=\"\x00\"} 0x1p3\n",
	} {
		f.Add([]byte(s))
	}
}

func check(t *testing.T, in []byte, p *exposition.Page) {
	t.Helper()
	got, err := textSeries(p.Text())
	if err != nil {
		t.Fatalf("PromParser rejects the result: %v\n%q", err, p.Text())
	}
	if len(got) != p.Samples {
		t.Fatalf("PromParser sees %d samples of %d\n%q", len(got), p.Samples, p.Text())
	}
	if !expfmtTakes(p.Text()) {
		t.Fatalf("expfmt rejects the result:\n%q", p.Text())
	}
	om, err := openMetricsSeries(p.OpenMetrics())
	if err != nil {
		t.Fatalf("OpenMetricsParser rejects the result: %v\n%q", err, p.OpenMetrics())
	}
	if !largeTimestamp.Match(p.Text()) && !slices.Equal(got, om) {
		t.Fatalf("the formats differ:\n%s\nand\n%s\nfrom\n%q", strings.Join(got, "\n"), strings.Join(om, "\n"), in)
	}
}

// Whatever goes in, Prometheus accepts the result in both formats and parses
// the same series from both. Valid text stays unchanged.
func FuzzSanitize(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		in := bytes.Clone(text)
		p := exposition.Sanitize(text, exposition.Options{})
		check(t, in, p)

		before, err := textSeries(in)
		if err != nil || !expfmtTakes(in) || alwaysRepaired.Match(in) {
			return
		}
		for r, n := range p.Dropped {
			if n > 0 && exposition.Reason(r) != exposition.DuplicateSeries {
				t.Fatalf("valid text lost a line: %v\n%q", p.First, in)
			}
		}
		if p.Dropped[exposition.DuplicateSeries] > 0 {
			return
		}
		if after, _ := textSeries(p.Text()); !slices.Equal(before, after) {
			t.Fatalf(
				"valid text\n%q\nhad the series\n%s\nand now has\n%s",
				in,
				strings.Join(before, "\n"),
				strings.Join(after, "\n"),
			)
		}
		if p.Repaired[exposition.RepairScattered] == 0 && !bytes.Equal(in, p.Text()) {
			t.Fatalf("valid text\n%q\nbecame\n%q", in, p.Text())
		}
	})
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

// FuzzLines tests the same promises with texts built from lines.
func FuzzLines(f *testing.F) {
	addCorpus(f, "../testdata/lines.txt", func(fields []string) { f.Add([]byte(fields[0]), []byte(fields[1])) })
	f.Add([]byte{10, 0, 2, 3, 18, 1, 0, 2}, []byte{12, 1, 1, 1})
	f.Add([]byte{0, 1, 0, 0, 10, 0, 13, 4, 3, 5}, []byte{11, 0, 0, 0, 11, 1, 0, 5})
	f.Fuzz(func(t *testing.T, one, two []byte) {
		a, b := exposition.Sanitize(
			lines(one),
			exposition.Options{},
		), exposition.Sanitize(
			lines(two),
			exposition.Options{},
		)
		check(t, lines(one), a)
		m := exposition.Merge([]exposition.Source{{Script: "a.stp", Page: a}, {Script: "b.stp", Page: b}})
		check(t, lines(append(slices.Clone(one), two...)), m)
	})
}

// A merged page is as valid as each of its parts.
func FuzzMerge(f *testing.F) {
	f.Add([]byte("# TYPE h histogram\nh_sum 1\nh_bucket{le=\"1\"} 1\n"), []byte("h_sum{script=\"x\"} -1\n"))
	f.Add(
		[]byte("# TYPE s summary\ns_sum 1\n"),
		[]byte("s_sum{exported_script=\"\",script=\"\"} -1\n# TYPE s gauge\ns 1\n"),
	)
	addCorpus(f, "../testdata/merges.txt", func(fields []string) { f.Add([]byte(fields[0]), []byte(fields[1])) })
	f.Fuzz(func(t *testing.T, a, b []byte) {
		one, two := exposition.Sanitize(a, exposition.Options{}), exposition.Sanitize(b, exposition.Options{})
		p := exposition.Merge([]exposition.Source{{Script: "a.stp", Page: one}, {Script: "b \"\\\n.stp", Page: two}})
		check(t, append(append(a, '|'), b...), p)
		if p.Samples != one.Samples+two.Samples {
			t.Fatalf("%d samples of %d and %d", p.Samples, one.Samples, two.Samples)
		}
	})
}
