package exposition

import (
	"bytes"
	"unicode/utf8"
)

// mended is what mendSample found to mend, a bit for each Mend.
type mended uint

func (m mended) has(x Repair) bool { return m&(1<<x) != 0 }

// mendSample writes a sample line that scan refused anew, behind dst, where its
// meaning is beyond doubt. The line has no blanks at its ends.
// What it wrote is for scan to judge: it looks at names, quotes and escapes
// only.
func mendSample(dst, line []byte) ([]byte, mended, Reason) {
	m := mender{line: line, dst: dst}
	why := m.sample()
	return m.dst, m.what, why
}

type mender struct {
	line []byte
	i    int
	dst  []byte
	what mended
}

func (m *mender) sample() Reason {
	for m.i < len(m.line) && class[m.line[m.i]]&inName != 0 {
		m.i++
	}
	name := m.line[:m.i]
	m.dst = append(m.dst, name...)
	if m.blanks(); m.peek() != '{' {
		return BadName
	}
	m.i++
	if len(name) == 0 {
		var why Reason
		if name, why = m.quotedName(inName, BadName); why != None {
			return why
		}
		m.dst = append(m.dst, name...)
		if m.blanks(); m.peek() == ',' {
			m.i++
		} else if m.peek() != '}' {
			return BadName
		}
	}
	m.dst = append(m.dst, '{')
	for n := 0; ; n++ {
		m.blanks()
		if m.peek() == '}' {
			break
		}
		if n > 0 {
			m.dst = append(m.dst, ',')
		}
		if why := m.label(); why != None {
			return why
		}
		m.blanks()
		if m.peek() == '}' {
			break
		}
		if m.peek() != ',' {
			return BadLabel
		}
		m.i++
	}
	m.i++
	m.blanks()
	m.dst = append(m.dst, '}', ' ')
	m.dst = append(m.dst, m.line[m.i:]...)
	return None
}

// label copies one name="value".
func (m *mender) label() Reason {
	var name []byte
	if m.peek() == '"' {
		var why Reason
		if name, why = m.quotedName(inLabel, BadLabel); why != None {
			return why
		}
	} else {
		start := m.i
		for m.i < len(m.line) && class[m.line[m.i]]&inLabel != 0 {
			m.i++
		}
		name = m.line[start:m.i]
	}
	if m.blanks(); m.peek() != '=' {
		return BadLabel
	}
	m.i++
	if m.blanks(); m.peek() != '"' {
		return BadLabel
	}
	m.i++
	m.dst = append(append(m.dst, name...), '=', '"')
	return m.value()
}

// value copies a label value and its closing quote; m.i stands behind the
// opening one.
func (m *mender) value() Reason {
	start, foreign := m.i, false
	for ; m.i < len(m.line) && m.line[m.i] != '"'; m.i++ {
		if m.line[m.i] != '\\' {
			continue
		}
		m.i++
		if b := m.peek(); b != '\\' && b != '"' && b != 'n' {
			foreign = true
		}
	}
	if m.i >= len(m.line) {
		return BadLabel
	}
	value := m.line[start:m.i]
	m.i++
	switch {
	case foreign:
		var why Reason
		if m.dst, why = appendMended(m.dst, value); why != None {
			return why
		}
		m.what |= 1 << RepairEscape
	case !utf8.Valid(value):
		return NotUTF8
	default:
		m.dst = append(m.dst, value...)
	}
	if bytes.HasPrefix(m.line[m.i:], []byte(`...`)) {
		m.i += len(`...`)
		m.dst = append(m.dst, `...`...)
		m.what |= 1 << RepairCut
	}
	m.dst = append(m.dst, '"')
	return None
}

// quotedName reads a name in quotes, all of whose bytes are of the class.
func (m *mender) quotedName(of uint8, bad Reason) ([]byte, Reason) {
	if m.blanks(); m.peek() != '"' {
		return nil, bad
	}
	m.i++
	start := m.i
	for m.i < len(m.line) && class[m.line[m.i]]&of != 0 {
		m.i++
	}
	name := m.line[start:m.i]
	if len(name) == 0 || m.peek() != '"' {
		return nil, bad
	}
	m.i++
	m.what |= 1 << RepairQuoted
	return name, None
}

func (m *mender) blanks() { m.i = skipBlanks(m.line, m.i) }

// peek returns the byte at m.i, newline at the line's end.
func (m *mender) peek() byte {
	if m.i < len(m.line) {
		return m.line[m.i]
	}
	return '\n'
}
