package harness

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"

	"stap-exporter/internal/exposition"
)

// goodNames are label values with characters that must be escaped or are not
// ASCII.
var goodNames = []string{"plain", "café", `back\slash`, `"quoted"`, "two\nlines"}

var escapeLabel = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

const goodWorkers = 30

// goodText returns text number n without a fault. Every value depends on n.
func goodText(n int) []byte {
	b := fmt.Appendf(
		nil,
		"# HELP good_seq Which text this is.\n# TYPE good_seq gauge\ngood_seq %d\n# TYPE good_work_total counter\n",
		n,
	)
	for i := range goodWorkers {
		b = fmt.Appendf(b, "good_work_total{worker=\"%d\",of=\"the stand-in\"} %d\n", i, n+i)
	}
	for i, name := range goodNames {
		b = fmt.Appendf(b, "good_named{name=\"%s\"} %d\n", escapeLabel.Replace(name), n-i)
	}
	return b
}

// goodSamples returns the samples of goodText(n) by SeriesKey.
func goodSamples(n int) map[string]float64 {
	all := map[string]float64{SeriesKey("good_seq", nil): float64(n)}
	for i := range goodWorkers {
		all[SeriesKey("good_work_total", map[string]string{"worker": strconv.Itoa(i), "of": "the stand-in"})] = float64(
			n + i,
		)
	}
	for i, name := range goodNames {
		all[SeriesKey("good_named", map[string]string{"name": name})] = float64(n - i)
	}
	return all
}

// garbage are the lines between the good lines of a corrupt text. None is a
// valid sample; the last ones are duplicates of good series.
var garbage = []string{
	"}{",
	"good_seq",
	"good_seq{",
	`good_work_total{worker="1" 5`,
	"good_seq 1e",
	`good_seq{a="\q"} 1`,
	"good_named{name=\"\xff\xfe\"} 1",
	"\x00\x01\x02",
	`good_work_total{worker="3"} a lot`,
	"good seq 7",
	"good_seq 1 99999999999999999999999",
	"# TYPE good_work_total nonsense",
	"# TYPE",
	`{name="plain"} 1`,
	`good_named{name="a",name="b"} 1`,
	"ERROR: array overflow, check MAXMAPENTRIES near identifier 'x' at <input>:1:1",
	"\x1b[31mWARNING\x1b[0m",
	"good_seq 1",
	`good_work_total{of="the stand-in",worker="2"} 999999`,
}

// faulty returns text number n with a fault, in the pieces that are written one
// by one.
func faulty(fault string, n int) [][]byte {
	text := goodText(n)
	switch fault {
	case "good":
	case "empty":
		return nil
	case "invalid":
		text = []byte("}{\n\x00\x01\nERROR: out of luck\n")
	case "dies": // the last sample is valid, and has a part of its value
		text = text[:bytes.LastIndexByte(text[:len(text)/2], '\n')-2]
	case "doubled":
		text = append(text, goodText(n+1)...)
	case "corrupt":
		lines := bytes.SplitAfter(text, []byte("\n"))
		text = nil
		for i, line := range lines {
			text = append(text, line...)
			if i >= 4 && i-4 < len(garbage) {
				text = append(text, garbage[i-4]+"\n"...)
			}
		}
	case "truncated":
		text = append(text, `good_named{name="to`...)
	case "unended":
		text = text[:len(text)-1]
	case "full": // truncated at the tapset's limit, in the middle of a value
		tail := "good_tail 12"
		for len(text) < exposition.MaxText-200 {
			text = append(text, "# filler, as a script with a large array would have samples here\n"...)
		}
		text = append(text, "#"+strings.Repeat(".", exposition.MaxText-len(text)-len(tail)-2)+"\n"+tail...)
	case "scattered":
		text = scatter(text)
	case "crlf":
		text = bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
	case "escaped":
		text = bytes.ReplaceAll(text, []byte("é"), []byte([]string{`\303\251`, `\xc3\xa9`}[n%2]))
	case "pieces":
		third := len(text) / 3
		return [][]byte{text[:third], text[third : 2*third], text[2*third:]}
	default:
		panic("stand-in: no fault " + fault)
	}
	return [][]byte{text}
}

// scatter mixes the lines of the families and puts a TYPE line after each
// sample of the counter.
func scatter(text []byte) []byte {
	lines := strings.SplitAfter(string(text), "\n")
	mixed := append([]string(nil), lines[:4]...)
	work, named := lines[4:4+goodWorkers], lines[4+goodWorkers:]
	for i := range work {
		mixed = append(mixed, work[i], lines[3])
		if i < len(named) {
			mixed = append(mixed, named[i])
		}
	}
	return []byte(strings.Join(mixed, ""))
}

// TextNumber returns n if the samples are exactly those of goodText(n);
// otherwise wrong is the difference.
func TextNumber(samples map[string]float64) (n int, wrong string) {
	seq, ok := samples[SeriesKey("good_seq", nil)]
	if !ok || seq != math.Trunc(seq) {
		return 0, "no number"
	}
	n = int(seq)
	want := goodSamples(n)
	for key, value := range want {
		if got, ok := samples[key]; !ok || got != value {
			return n, fmt.Sprintf("text %d: %s is %v (present: %v), want %v", n, key, got, ok, value)
		}
	}
	for key := range samples {
		if _, ok := want[key]; !ok {
			return n, fmt.Sprintf("text %d: %s must not be there", n, key)
		}
	}
	return n, ""
}
