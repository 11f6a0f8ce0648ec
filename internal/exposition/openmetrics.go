package exposition

import (
	"bytes"
	"hash/maphash"
	"math"
	"strconv"
)

// renderOpenMetrics renders a valid text in OpenMetrics 1.0.0. It renames no
// sample and changes no label value, so a series is the same in both formats.
//
// A family is a counter when its TYPE says so, its name ends in _total, no
// other family has the name without _total, and no value is negative or NaN;
// otherwise its type is unknown.
//
// A histogram or summary keeps its type when its samples have the names and the
// le or quantile labels that OpenMetrics requires; otherwise it becomes one
// unknown family for each of its sample names. Values do not matter: a type
// that changes between reads would change how Prometheus spells le and
// quantile, and with it the series.
//
// Comments and families without samples are omitted.
func renderOpenMetrics(body []byte) []byte {
	defer acquire(len(body))()
	c := getSanitizer()
	defer c.release()
	o := openMetrics{c: c, out: make([]byte, 0, len(body)+len(body)/8+64)}
	if !c.verify(body, nil, true) {
		// Never for a valid text, as the fuzzers show.
		return []byte("# EOF\n")
	}
	for from := 0; from < len(c.recs); {
		to := from + 1
		for to < len(c.recs) && (c.recs[to].fam == c.recs[from].fam || c.recs[to].kind == kindComment) {
			to++
		}
		if c.recs[from].fam >= 0 {
			o.family(&c.fams.list[c.recs[from].fam], c.recs[from:to])
		}
		from = to
	}
	return append(o.out, "# EOF\n"...)
}

type openMetrics struct {
	c   *sanitizer
	out []byte
}

// family appends one family. lines are its lines, with comments between them.
func (o *openMetrics) family(f *family, lines []rec) {
	if f.samples == 0 {
		return
	}
	switch f.typ {
	case Counter:
		if o.isCounter(f, lines) {
			o.group(f.name[:len(f.name)-len("_total")], "counter", f.name, lines, nil)
			return
		}
	case Gauge:
		o.group(f.name, "gauge", f.name, lines, nil)
		return
	case Histogram, Summary:
		if o.isComposite(f, lines) {
			o.group(f.name, f.typ.String(), f.name, lines, nil)
			return
		}
	case Untyped:
	}
	// One group for each sample name. Only a histogram or summary has several.
	for i := range lines {
		if lines[i].kind == kindSample && !earlier(lines[:i], lines[i].name) {
			o.group(lines[i].name, "unknown", f.name, lines, lines[i].name)
		}
	}
}

func earlier(lines []rec, name []byte) bool {
	for i := range lines {
		if lines[i].kind == kindSample && string(lines[i].name) == string(name) {
			return true
		}
	}
	return false
}

func (o *openMetrics) isCounter(f *family, lines []rec) bool {
	if !hasSuffix(f.name, "_total") {
		return false
	}
	base := f.name[:len(f.name)-len("_total")]
	if n := o.c.fams.find(base, maphash.Bytes(seed, base)); n >= 0 && o.c.fams.list[n].samples > 0 {
		return false
	}
	for i := range lines {
		if lines[i].kind != kindSample {
			continue
		}
		o.c.sample.scan(lines[i].line)
		if v, _ := number(o.c.sample.value); v < 0 || math.IsNaN(v) {
			return false
		}
	}
	return true
}

// isComposite reports whether OpenMetrics allows each sample in a family of
// this type, which is a histogram or summary.
func (o *openMetrics) isComposite(f *family, lines []rec) bool {
	for i := range lines {
		if lines[i].kind != kindSample {
			continue
		}
		suffix := string(lines[i].name[len(f.name):])
		if suffix == "_sum" || suffix == "_count" {
			continue
		}
		o.c.sample.scan(lines[i].line)
		switch {
		case f.typ == Histogram && suffix == "_bucket" && o.c.sample.get("le") != nil:
		case f.typ == Summary && suffix == "" && o.c.sample.get("quantile") != nil:
		default:
			return false
		}
	}
	return true
}

// group appends TYPE and HELP and the samples whose name is only; all samples
// when only is nil. The HELP is the one that lines has for the family.
func (o *openMetrics) group(name []byte, typ string, family []byte, lines []rec, only []byte) {
	o.out = append(append(o.out, "# TYPE "...), name...)
	o.out = append(append(append(o.out, ' '), typ...), '\n')
	for i := range lines {
		if lines[i].kind == kindHelp && (only == nil || string(only) == string(family)) {
			o.help(name, family, lines[i].line)
		}
	}
	for i := range lines {
		if lines[i].kind == kindSample && (only == nil || string(lines[i].name) == string(only)) {
			before := len(o.out)
			o.sample(lines[i].line)
			yield(before, len(o.out))
		}
	}
}

// help appends the HELP line of the text under the given name. OpenMetrics
// escapes '"' too. A line about a part of a histogram is skipped.
func (o *openMetrics) help(name, family, line []byte) {
	cm, _ := scanComment(line, bytes.IndexByte(line, '#'))
	if len(cm.help) == 0 || len(cm.name) != len(family) {
		return
	}
	o.out = append(append(append(o.out, "# HELP "...), name...), ' ')
	for i := 0; i < len(cm.help); i++ {
		switch b := cm.help[i]; b {
		case '\\':
			i++
			o.out = append(o.out, '\\', cm.help[i])
		case '"':
			o.out = append(o.out, '\\', '"')
		default:
			o.out = append(o.out, b)
		}
	}
	o.out = append(o.out, '\n')
}

// sample appends one sample line without the blanks and commas that OpenMetrics
// does not allow.
func (o *openMetrics) sample(line []byte) {
	s := &o.c.sample
	s.scan(line)
	o.out = append(o.out, s.name...)
	for i, l := range s.labels {
		b := byte(',')
		if i == 0 {
			b = '{'
		}
		o.out = append(append(append(o.out, b), l.name...), '=', '"')
		o.out = append(append(o.out, l.value...), '"')
	}
	if len(s.labels) > 0 {
		o.out = append(o.out, '}')
	}
	o.out = append(append(o.out, ' '), s.value...)
	if s.hasTS {
		o.out = appendSeconds(append(o.out, ' '), s.ts)
	}
	o.out = append(o.out, '\n')
}

// appendSeconds appends milliseconds as seconds. Prometheus multiplies by 1000
// and truncates. The result is the same number of milliseconds: where the plain
// decimal fraction would come out one too low, more digits are written. This
// holds for less than 2^45 milliseconds, until the year 3084.
func appendSeconds(dst []byte, ms int64) []byte {
	from := len(dst)
	dst = strconv.AppendInt(dst, ms/1000, 10)
	if rest := ms % 1000; rest > 0 {
		dst = append(dst, '.', byte('0'+rest/100), byte('0'+rest/10%10), byte('0'+rest%10))
	}
	v, err := strconv.ParseFloat(string(dst[from:]), 64)
	if err == nil && int64(v*1000) < ms && ms < 1<<45 {
		dst = strconv.AppendFloat(dst[:from], math.Nextafter(v, math.Inf(1)), 'f', -1, 64)
	}
	return dst
}
