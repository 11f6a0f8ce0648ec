package exposition

import (
	"bytes"
	"hash/maphash"
	"math"
	"strconv"
	"unicode/utf8"
	"unsafe"
)

// The classes of a byte: what it may be part of.
const (
	inName      = 1 << iota // a metric name
	startsName              // the first byte of a metric name
	inLabel                 // a label name
	startsLabel             // the first byte of a label name
	inValue                 // a label value, unescaped: all but '"', '\' and newline
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

// label is one label of a sample. Both parts point into the line of the sample;
// the value is as written, without its quotes.
type label struct{ name, value []byte }

// sample is one parsed sample line. It is reused: all slices point into the
// line of the latest scan.
type sample struct {
	line    []byte
	name    []byte
	labels  []label
	value   []byte
	valueAt int   // offset of value in line
	ts      int64 // milliseconds; valid when hasTS
	hasTS   bool
	hash    uint64 // of the labels, independent of their order
	text    []byte // scratch: a label without blanks
}

var seed = maphash.MakeSeed()

// manyLabels is the number of labels above which repeated labels are found with
// a map instead of comparing each pair.
const manyLabels = 32

// scan parses one line, without its newline. It returns None when both of
// Prometheus's parsers accept the line unchanged.
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

// scanTimestamp parses the digits from line[i] to the end of the line.
// PromParser rejects signs, expfmt rejects a trailing blank.
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

// scanLabels parses the labels from line[i], after '{', and returns the offset
// after '}'.
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

// scanString returns the offset of the closing quote of the label value that
// begins at line[i].
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

// addLabel appends a label. It returns false for a repeated label and for
// __name__.
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

// get returns the value of the label with this name, or nil. The value of a
// label is never nil.
func (s *sample) get(name string) []byte {
	for i := range s.labels {
		if string(s.labels[i].name) == name {
			return s.labels[i].value
		}
	}
	return nil
}

// same reports whether two samples are duplicates, see the package comment.
func (s *sample) same(o *sample) bool {
	if s.hasTS != o.hasTS || s.hasTS && s.ts != o.ts || !bytes.Equal(s.name, o.name) {
		return false
	}
	return s.subset(o) && o.subset(s)
}

// subset reports whether o has each label of s that has a value. Values are
// compared as written: there is one valid spelling of each.
func (s *sample) subset(o *sample) bool {
	for _, l := range s.labels {
		if len(l.value) > 0 && !bytes.Equal(l.value, o.get(unsafeString(l.name))) {
			return false
		}
	}
	return true
}

func isBlank(b byte) bool { return b == ' ' || b == '\t' }

func skipBlanks(b []byte, i int) int {
	for i < len(b) && isBlank(b[i]) {
		i++
	}
	return i
}

// validNumber reports whether both parsers accept b as the value of a sample:
// everything that strconv.ParseFloat accepts, except underscores and
// hexadecimal exponents.
func validNumber(b []byte) bool {
	const alwaysInRange = 300 // digits; the largest number is about 1e308
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
	if i == len(b) && digits > 0 && digits < alwaysInRange {
		return true
	}
	_, ok := number(b)
	return ok
}

// number returns the value of b, and whether it is a valid number.
func number(b []byte) (float64, bool) {
	if len(b) == 0 || bytes.ContainsAny(b, "pP_") {
		return 0, false
	}
	v, err := strconv.ParseFloat(unsafeString(b), 64)
	return v, err == nil
}

// unsafeString returns b as a string without a copy, for calls that retain
// neither.
func unsafeString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
