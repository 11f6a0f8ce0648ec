package exposition

import (
	"bytes"
	"unicode/utf8"
)

// repairSet is a set of repairs, one bit for each Repair.
type repairSet uint

func (s repairSet) has(r Repair) bool { return s&(1<<r) != 0 }

// lineRepairer copies a sample line from line to dst and repairs it on the way.
type lineRepairer struct {
	line []byte
	i    int // offset in line
	dst  []byte
	done repairSet
}

// repairSample appends to dst a repaired form of a sample line that scan
// rejected, if the meaning of the line is beyond doubt. The line must have no
// blanks at its ends. repairSample interprets names, quotes and escapes only,
// so the caller must scan the result.
func repairSample(dst, line []byte) ([]byte, repairSet, Reason) {
	r := lineRepairer{line: line, dst: dst}
	why := r.sample()
	return r.dst, r.done, why
}

func (r *lineRepairer) sample() Reason {
	for r.i < len(r.line) && class[r.line[r.i]]&inName != 0 {
		r.i++
	}
	name := r.line[:r.i]
	r.dst = append(r.dst, name...)
	if r.blanks(); r.peek() != '{' {
		return BadName
	}
	r.i++
	if len(name) == 0 {
		var why Reason
		if name, why = r.quotedName(inName, BadName); why != None {
			return why
		}
		r.dst = append(r.dst, name...)
		if r.blanks(); r.peek() == ',' {
			r.i++
		} else if r.peek() != '}' {
			return BadName
		}
	}
	r.dst = append(r.dst, '{')
	for n := 0; ; n++ {
		r.blanks()
		if r.peek() == '}' {
			break
		}
		if n > 0 {
			r.dst = append(r.dst, ',')
		}
		if why := r.label(); why != None {
			return why
		}
		r.blanks()
		if r.peek() == '}' {
			break
		}
		if r.peek() != ',' {
			return BadLabel
		}
		r.i++
	}
	r.i++
	r.blanks()
	r.dst = append(r.dst, '}', ' ')
	r.dst = append(r.dst, r.line[r.i:]...)
	return None
}

// label copies one name="value".
func (r *lineRepairer) label() Reason {
	var name []byte
	if r.peek() == '"' {
		var why Reason
		if name, why = r.quotedName(inLabel, BadLabel); why != None {
			return why
		}
	} else {
		start := r.i
		for r.i < len(r.line) && class[r.line[r.i]]&inLabel != 0 {
			r.i++
		}
		name = r.line[start:r.i]
	}
	if r.blanks(); r.peek() != '=' {
		return BadLabel
	}
	r.i++
	if r.blanks(); r.peek() != '"' {
		return BadLabel
	}
	r.i++
	r.dst = append(append(r.dst, name...), '=', '"')
	return r.value()
}

// value copies a label value and its closing quote; r.i is the offset after the
// opening quote.
func (r *lineRepairer) value() Reason {
	start, foreign := r.i, false
	for ; r.i < len(r.line) && r.line[r.i] != '"'; r.i++ {
		if r.line[r.i] != '\\' {
			continue
		}
		r.i++
		if b := r.peek(); b != '\\' && b != '"' && b != 'n' {
			foreign = true
		}
	}
	if r.i >= len(r.line) {
		return BadLabel
	}
	value := r.line[start:r.i]
	r.i++
	switch {
	case foreign:
		var why Reason
		if r.dst, why = appendRepaired(r.dst, value); why != None {
			return why
		}
		r.done |= 1 << RepairEscape
	case !utf8.Valid(value):
		return NotUTF8
	default:
		r.dst = append(r.dst, value...)
	}
	if bytes.HasPrefix(r.line[r.i:], []byte(`...`)) {
		r.i += len(`...`)
		r.dst = append(r.dst, `...`...)
		r.done |= 1 << RepairCut
	}
	r.dst = append(r.dst, '"')
	return None
}

// quotedName reads a name in quotes whose bytes are all of the given class.
func (r *lineRepairer) quotedName(want uint8, bad Reason) ([]byte, Reason) {
	if r.blanks(); r.peek() != '"' {
		return nil, bad
	}
	r.i++
	start := r.i
	for r.i < len(r.line) && class[r.line[r.i]]&want != 0 {
		r.i++
	}
	name := r.line[start:r.i]
	if len(name) == 0 || r.peek() != '"' {
		return nil, bad
	}
	r.i++
	r.done |= 1 << RepairQuoted
	return name, None
}

func (r *lineRepairer) blanks() { r.i = skipBlanks(r.line, r.i) }

// peek returns the byte at r.i, or newline at the end of the line.
func (r *lineRepairer) peek() byte {
	if r.i < len(r.line) {
		return r.line[r.i]
	}
	return '\n'
}
