package exposition

import (
	"bytes"
	"hash/maphash"
	"math"
	"strconv"
	"unicode/utf8"
	"unsafe"
)

// What a byte may be part of.
const (
	inName     = 1 << iota // a metric name
	startsName             // its first byte
	inLabel                // a label name
	startsLabel
	inValue // a label value between its quotes, as it is: all but '"', '\' and newline
	isASCII
)

var class = func() (t [256]uint8) {
	for i := range t {
		b := byte(i)
		letter := b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b == '_'
		digit := b >= '0' && b <= '9'
		if letter {
			t[i] |= startsName | startsLabel
		}
		if letter || digit {
			t[i] |= inName | inLabel
		}
		if b == ':' {
			t[i] |= startsName | inName
		}
		if b != '"' && b != '\\' && b != '\n' {
			t[i] |= inValue
		}
		if b < utf8.RuneSelf {
			t[i] |= isASCII
		}
	}
	return t
}()

// label is one label of a sample; both parts point into the sample's line. The
// value is as written, without its quotes.
type label struct{ name, value []byte }

// sample is one sample line taken apart. It is used again and again; all slices
// point into the line last given to scan.
type sample struct {
	line    []byte
	name    []byte
	labels  []label
	value   []byte
	valueAt int   // where value begins in line
	ts      int64 // milliseconds; meaningful when hasTS
	hasTS   bool
	hash    uint64 // of the labels, whatever their order
	text    []byte // scratch: a label spelt without blanks
}

var seed = maphash.MakeSeed()

// manyLabels is where the search for a label given twice changes from comparing
// each with each to a map.
const manyLabels = 32

// scan takes one line apart, without its newline. It returns None when both of
// Prometheus's parsers take the line as it is.
func (s *sample) scan(line []byte) Reason {
	s.line, s.labels, s.hasTS, s.hash = line, s.labels[:0], false, 0
	i := 0
	for i < len(line) && class[line[i]]&inName != 0 {
		i++
	}
	if i == 0 || class[line[0]]&startsName == 0 {
		return BadName
	}
	s.name = line[:i]
	if i == len(line) {
		return BadValue
	}
	j := skipBlanks(line, i)
	if j < len(line) && line[j] == '{' {
		var why Reason
		if j, why = s.scanLabels(j + 1); why != None {
			return why
		}
		j = skipBlanks(line, j)
	} else if j == i {
		return BadName
	}
	i = j
	for j < len(line) && !isBlank(line[j]) {
		j++
	}
	s.value, s.valueAt = line[i:j], i
	if !validNumber(s.value) {
		return BadValue
	}
	if j == len(line) {
		return None
	}
	return s.scanTimestamp(skipBlanks(line, j))
}

// scanTimestamp reads the digits from line[i] to the line's end. PromParser
// takes neither sign, expfmt no blank after it.
func (s *sample) scanTimestamp(i int) Reason {
	digits := s.line[i:]
	if len(digits) == 0 {
		return BadTimestamp
	}
	ts := uint64(0)
	for _, b := range digits {
		d := uint64(b - '0')
		if b < '0' || b > '9' || ts > (math.MaxInt64-d)/10 {
			return BadTimestamp
		}
		ts = ts*10 + d
	}
	s.ts, s.hasTS = int64(ts), true
	return None
}

// scanLabels reads from behind '{' to behind '}' and returns that place.
func (s *sample) scanLabels(i int) (int, Reason) {
	line := s.line
	for {
		i = skipBlanks(line, i)
		if i < len(line) && line[i] == '}' {
			break
		}
		start := i
		for i < len(line) && class[line[i]]&inLabel != 0 {
			i++
		}
		if i == start || class[line[start]]&startsLabel == 0 {
			return i, BadLabel
		}
		name := line[start:i]
		eq := skipBlanks(line, i)
		if eq >= len(line) || line[eq] != '=' {
			return i, BadLabel
		}
		i = skipBlanks(line, eq+1)
		if i >= len(line) || line[i] != '"' {
			return i, BadLabel
		}
		tight := i-start == len(name)+1
		i++
		from := i
		end, why := scanString(line, i)
		if why != None {
			return i, why
		}
		value := line[from:end]
		if !s.addLabel(name, value) {
			return i, BadLabel
		}
		switch {
		case len(value) == 0:
		case tight:
			s.hash += maphash.Bytes(seed, line[start:end])
		default:
			s.text = append(append(append(s.text[:0], name...), '=', '"'), value...)
			s.hash += maphash.Bytes(seed, s.text)
		}
		i = skipBlanks(line, end+1)
		if i >= len(line) {
			return i, BadLabel
		}
		if line[i] == '}' {
			break
		}
		if line[i] != ',' {
			return i, BadLabel
		}
		i++
	}
	if len(s.labels) > manyLabels && s.repeatsLabel() {
		return i, BadLabel
	}
	return i + 1, None
}

// scanString returns where the closing quote of the label value that begins at
// line[i] stands.
func scanString(line []byte, i int) (int, Reason) {
	from := i
	all := uint8(isASCII)
	for i < len(line) {
		c := class[line[i]]
		if c&inValue != 0 {
			all &= c
			i++
			continue
		}
		if line[i] == '"' {
			if all&isASCII == 0 && !utf8.Valid(line[from:i]) {
				return i, NotUTF8
			}
			return i, None
		}
		if i+1 == len(line) {
			return i, BadLabel
		}
		if b := line[i+1]; b != '\\' && b != '"' && b != 'n' {
			return i, BadEscape
		}
		i += 2
	}
	return i, BadLabel
}

// addLabel appends a label; false when it was there already, or is the metric
// name's own.
func (s *sample) addLabel(name, value []byte) bool {
	if name[0] == '_' && string(name) == "__name__" {
		return false
	}
	if len(s.labels) < manyLabels {
		for i := range s.labels {
			if string(s.labels[i].name) == string(name) {
				return false
			}
		}
	}
	s.labels = append(s.labels, label{name, value})
	return true
}

func (s *sample) repeatsLabel() bool {
	seen := make(map[string]struct{}, len(s.labels))
	for _, l := range s.labels {
		seen[unsafeString(l.name)] = struct{}{}
	}
	return len(seen) != len(s.labels)
}

// get returns the value of the label called name, nil when there is none.
func (s *sample) get(name string) []byte {
	for i := range s.labels {
		if string(s.labels[i].name) == name {
			return s.labels[i].value
		}
	}
	return nil
}

// same tells whether two samples are duplicates: see the package comment.
func (s *sample) same(o *sample) bool {
	if s.hasTS != o.hasTS || s.hasTS && s.ts != o.ts || !bytes.Equal(s.name, o.name) {
		return false
	}
	return s.within(o) && o.within(s)
}

// within tells whether each label of s with a value is in o. Values are as
// written, but a valid one can be written in one way only.
func (s *sample) within(o *sample) bool {
	for _, l := range s.labels {
		if len(l.value) > 0 && !bytes.Equal(l.value, o.get(unsafeString(l.name))) {
			return false
		}
	}
	return true
}

// has tells whether there is a label called name.
func (s *sample) has(name string) bool {
	for i := range s.labels {
		if string(s.labels[i].name) == name {
			return true
		}
	}
	return false
}

func isBlank(b byte) bool { return b == ' ' || b == '\t' }

func skipBlanks(b []byte, i int) int {
	for i < len(b) && isBlank(b[i]) {
		i++
	}
	return i
}

// validNumber tells whether both parsers take b as a sample's value: what
// strconv.ParseFloat takes, without underscores and hexadecimal exponents.
func validNumber(b []byte) bool {
	const surelyInRange = 300 // digits; 1e308 is the largest
	i, digits := 0, 0
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		i++
	}
	for ; i < len(b) && b[i]-'0' < 10; i++ {
		digits++
	}
	if i < len(b) && b[i] == '.' {
		for i++; i < len(b) && b[i]-'0' < 10; i++ {
			digits++
		}
	}
	if i == len(b) && digits > 0 && digits < surelyInRange {
		return true
	}
	_, ok := number(b)
	return ok
}

// number returns b's value as validNumber has it.
func number(b []byte) (float64, bool) {
	if len(b) == 0 || bytes.ContainsAny(b, "pP_") {
		return 0, false
	}
	v, err := strconv.ParseFloat(unsafeString(b), 64)
	return v, err == nil
}

// unsafeString looks at b as a string, for calls that keep neither.
func unsafeString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
