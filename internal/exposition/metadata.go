package exposition

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Type is the type of a metric family.
type Type uint8

// The types of the text format 0.0.4.
const (
	Untyped Type = iota
	Counter
	Gauge
	Histogram
	Summary
)

var typeNames = [...]string{"untyped", "counter", "gauge", "histogram", "summary"}

// String returns the type as a TYPE line spells it.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return "untyped"
}

// ParseType returns the type that a TYPE line or a header directive names. Case
// does not matter; "unknown" is the OpenMetrics name for untyped.
func ParseType(s string) (Type, bool) {
	for i, name := range typeNames {
		if strings.EqualFold(s, name) {
			return Type(i), true
		}
	}
	return Untyped, strings.EqualFold(s, "unknown")
}

// Metadata is the TYPE and HELP of one metric family from a script's header. An
// Untyped entry without Help has no effect.
type Metadata struct {
	Name string
	Type Type
	Help string // may contain newlines; empty: none
}

// Directives are the metadata of one script, prepared for Sanitize. They are
// immutable and may be shared between goroutines.
type Directives struct{ list []directive }

type directive struct {
	name []byte
	typ  Type
	help []byte // the HELP line with its newline; nil: none
	line []byte // the TYPE line with its newline; nil: none, for Untyped
}

// NewDirectives validates metadata and prepares it for Sanitize. It drops
// invalid entries and returns an error for each of them, joined. The Directives
// are usable in any case.
func NewDirectives(all []Metadata) (*Directives, error) {
	d := &Directives{}
	var invalid []error
	seen := make(map[string]bool, len(all))
	types := make(map[string]Type, len(all))
	for _, m := range all {
		if _, again := types[m.Name]; !again {
			types[m.Name] = m.Type
		}
	}
	for _, m := range all {
		switch {
		case !ValidName(m.Name):
			invalid = append(invalid, fmt.Errorf("metadata of %q: not a metric name", m.Name))
			continue
		case seen[m.Name]:
			invalid = append(invalid, fmt.Errorf("metadata of %q: defined twice", m.Name))
			continue
		case !utf8.ValidString(m.Help):
			invalid = append(invalid, fmt.Errorf("metadata of %q: help text is not UTF-8", m.Name))
			continue
		}
		if base, bucket := stripSuffix([]byte(m.Name)); base != nil {
			if t := types[string(base)]; t == Histogram || t == Summary && !bucket {
				invalid = append(invalid, fmt.Errorf("metadata of %q: name belongs to the %s %q", m.Name, t, base))
				continue
			}
		}
		seen[m.Name] = true
		e := directive{name: []byte(m.Name), typ: m.Type}
		if help := strings.Trim(m.Help, " \t\r\n"); help != "" {
			e.help = fmt.Appendf(
				nil,
				"# HELP %s %s\n",
				m.Name,
				strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", "", "\x00", "").Replace(help),
			)
		}
		if m.Type != Untyped {
			e.line = fmt.Appendf(nil, "# TYPE %s %s\n", m.Name, m.Type)
		}
		if e.help != nil || e.line != nil {
			d.list = append(d.list, e)
		}
	}
	return d, errors.Join(invalid...)
}

// ValidName reports whether s is a classic metric name.
func ValidName(s string) bool {
	for i := range len(s) {
		if class[s[i]]&inName == 0 {
			return false
		}
	}
	return s != "" && class[s[0]]&startsName != 0
}

// comment is a parsed line that begins with '#'.
type comment struct {
	kind kind
	name []byte
	help []byte // the text after the name, without leading blanks, as written
	typ  Type
	// exact reports that both parsers accept the line unchanged. A line that is
	// not exact, but has no Reason, can be rewritten from the fields above.
	exact bool
}

// kind classifies a line.
type kind uint8

const (
	kindComment kind = iota // a comment or blank
	kindHelp
	kindType
	kindSample
	kindDropped
)

// scanComment parses a comment line; line[i] is its '#'. PromParser sees a
// plain comment in "#HELP x" and expfmt a HELP line; the line is kept as
// written and counts as HELP. The same applies to TYPE.
func scanComment(line []byte, i int) (comment, Reason) {
	c := comment{exact: true}
	if bytes.IndexByte(line, 0) >= 0 {
		return c, BadMetadata // PromParser takes a NUL in "#x" for the end of the text
	}
	i = skipBlanks(line, i+1)
	word := token(line[i:])
	switch string(word) {
	case "HELP":
		c.kind = kindHelp
	case "TYPE":
		c.kind = kindType
	default:
		return c, None
	}
	i += len(word)
	if i == len(line) {
		return comment{exact: true}, None // "# HELP" alone is a comment to both
	}
	i = skipBlanks(line, i)
	end := i
	quoted := i < len(line) && line[i] == '"'
	if quoted {
		end++
	}
	from := end
	for end < len(line) && class[line[end]]&inName != 0 {
		end++
	}
	c.name = line[from:end]
	if quoted {
		if end == len(line) || line[end] != '"' {
			return c, BadMetadata
		}
		end++
		c.exact = false
	}
	if len(c.name) == 0 || class[c.name[0]]&startsName == 0 {
		return c, BadMetadata
	}
	if end < len(line) && !isBlank(line[end]) {
		return c, BadMetadata
	}
	if c.kind == kindHelp && end == len(line) {
		// Both parsers accept this as a family without help, and expfmt does
		// not even record the family.
		if quoted {
			return c, BadMetadata
		}
		return comment{exact: true}, None
	}
	text := skipBlanks(line, end)
	c.help = line[text:]
	if c.kind == kindType {
		return scanType(c, text-end == 1)
	}
	if !utf8.Valid(c.help) {
		return c, NotUTF8
	}
	c.exact = c.exact && validHelp(c.help)
	return c, None
}

// scanType parses the type. PromParser requires one blank before it, lower case
// and nothing after it.
func scanType(c comment, oneBlank bool) (comment, Reason) {
	word := bytes.TrimRight(c.help, " \t\r")
	var ok bool
	if c.typ, ok = ParseType(unsafeString(word)); !ok {
		return c, BadMetadata
	}
	c.exact = c.exact && oneBlank && string(c.help) == c.typ.String()
	return c, None
}

// token returns the bytes before the first blank.
func token(b []byte) []byte {
	for i, x := range b {
		if isBlank(x) {
			return b[:i]
		}
	}
	return b
}

// validHelp reports whether expfmt accepts the help text: a backslash may occur
// in \\, \n and \" only.
func validHelp(b []byte) bool {
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			continue
		}
		if i++; i == len(b) || b[i] != '\\' && b[i] != 'n' && b[i] != '"' {
			return false
		}
	}
	return true
}

// appendMetadata appends the line, without newline, in the one form that all
// parsers accept.
func (c *comment) appendMetadata(dst []byte) []byte {
	if c.kind == kindType {
		dst = append(append(dst, "# TYPE "...), c.name...)
		return append(append(dst, ' '), c.typ.String()...)
	}
	dst = append(append(dst, "# HELP "...), c.name...)
	dst = append(dst, ' ')
	for i := 0; i < len(c.help); i++ {
		b := c.help[i]
		if b == '\\' {
			if i+1 < len(c.help) && (c.help[i+1] == '\\' || c.help[i+1] == 'n' || c.help[i+1] == '"') {
				dst = append(dst, b, c.help[i+1])
				i++
				continue
			}
			dst = append(dst, b)
		}
		dst = append(dst, b)
	}
	return dst
}
