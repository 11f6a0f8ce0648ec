package exposition

import (
	"bytes"
	"strings"
)

// Source is one script's page in a Merge.
type Source struct {
	// becomes the script label of each sample; empty for the exporter's own
	// page, which is taken as it is
	Script string
	Page   *Page
}

// Merge makes one page of many: each sample gets the label script, and a
// script's own script label becomes exported_script (exported_exported_script
// if that is taken, and so on). A second source with the same script is passed
// over.
//
// Families of one name become one family, in order of first appearance. The
// first HELP holds.
// The TYPE holds when no script gives another one. A script that gives none
// does not speak against counter or gauge, but against histogram and summary,
// since their samples have to look a certain way; so does a family whose name
// is that of one of their parts (x_count beside histogram x). Where there is a
// conflict the family has no TYPE, and a histogram or summary becomes one
// family for each of its sample names.
// The families of the exporter's own page belong to it: a script's samples of
// the same name are left out, as DuplicateSeries.
func Merge(sources []Source) *Page {
	texts := 0
	for _, src := range sources {
		if src.Page != nil {
			texts += len(src.Page.body)
		}
	}
	defer turn(texts)()
	m := merger{byName: make(map[string]*mergedFamily), page: &Page{}}
	seen := make(map[string]bool, len(sources))
	size := 0
	for _, src := range sources {
		if src.Page == nil || src.Script != "" && seen[src.Script] {
			continue
		}
		seen[src.Script] = true
		var script []byte
		if src.Script != "" {
			script = appendEscaped([]byte(`script="`), []byte(strings.ToValidUTF8(src.Script, "\uFFFD")))
			script = append(script, '"')
		}
		m.read(script, src.Page.body)
		size += len(src.Page.body) + src.Page.Samples*(len(script)+2)
	}
	m.settle()
	m.write(size)
	return m.page
}

type merger struct {
	byName map[string]*mergedFamily
	order  []*mergedFamily
	page   *Page
}

type mergedFamily struct {
	name     string
	typ      Type // what the first source that gives one says
	untyped  bool // a source gives none
	conflict bool
	own      bool   // the exporter's own
	help     []byte // as written in a HELP line; nil: none
	lines    []mergedLine
}

type mergedLine struct {
	line, name []byte
	script     []byte // the label to add, nil: none
}

func (m *merger) family(name []byte) *mergedFamily {
	if f := m.byName[string(name)]; f != nil {
		return f
	}
	f := &mergedFamily{name: string(name)}
	m.byName[f.name] = f
	m.order = append(m.order, f)
	return f
}

// read takes in one checked text. The lines stay where they are: a page's body
// does not change.
func (m *merger) read(script, body []byte) {
	c := getChecker()
	defer c.release()
	if !c.verify(body, nil, true) {
		return // a checked text verifies: the fuzzers hold that
	}
	for i := range c.recs {
		r := &c.recs[i]
		if r.fam < 0 || c.fams.list[r.fam].samples == 0 {
			continue
		}
		local := &c.fams.list[r.fam]
		switch r.kind {
		case kindHelp:
			cm, _ := scanComment(r.line, bytes.IndexByte(r.line, '#'))
			if f := m.family(local.name); f.help == nil && len(cm.help) > 0 && len(cm.name) == len(local.name) {
				f.help = cm.help
			}
		case kindSample:
			f := m.family(local.name)
			if n := len(f.lines); n == 0 || !sameSlice(f.lines[n-1].script, script) {
				f.vote(local.typ)
			}
			f.own = f.own || script == nil
			f.lines = append(f.lines, mergedLine{r.line, r.name, script})
		case kindComment, kindType, kindGone:
		}
	}
}

// sameSlice tells whether a and b are the very same bytes in memory.
func sameSlice(a, b []byte) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// vote notes what one source says of the type.
func (f *mergedFamily) vote(t Type) {
	switch {
	case t == Untyped:
		f.untyped = true
	case f.typ == Untyped:
		f.typ = t
	case f.typ != t:
		f.conflict = true
	}
}

func composite(t Type) bool { return t == Histogram || t == Summary }

// settle finds the conflicts and takes histograms and summaries that have one
// apart. That may bring the next conflict, so it goes on until nothing changes;
// each family is taken apart once.
func (m *merger) settle() {
	apart := make(map[*mergedFamily]bool)
	for again := true; again; {
		again = false
		for i := 0; i < len(m.order); i++ {
			f := m.order[i]
			if composite(f.typ) && !f.conflict && (f.untyped || m.partExists(f)) {
				f.conflict = true
			}
			if f.conflict && !apart[f] {
				apart[f] = true
				m.takeApart(f)
				again = true
			}
		}
	}
}

// partExists tells whether another family with samples has the name of a part
// of f.
func (m *merger) partExists(f *mergedFamily) bool {
	for _, suffix := range [...]string{"_sum", "_count", "_bucket"} {
		if other := m.byName[f.name+suffix]; other != nil && len(other.lines) > 0 &&
			(suffix != "_bucket" || f.typ == Histogram) {
			return true
		}
	}
	return false
}

// takeApart gives each sample to the family of just its name.
func (m *merger) takeApart(f *mergedFamily) {
	kept := f.lines[:0]
	for _, l := range f.lines {
		if string(l.name) == f.name {
			kept = append(kept, l)
			continue
		}
		to := m.family(l.name)
		to.untyped = true
		to.own = to.own || l.script == nil
		to.lines = append(to.lines, l)
	}
	f.lines = kept
}

func (m *merger) write(size int) {
	out := make([]byte, 0, size+size/8)
	var s sample
	for _, f := range m.order {
		if len(f.lines) == 0 {
			continue
		}
		before := len(out)
		if f.help != nil {
			out = append(append(append(out, "# HELP "...), f.name...), ' ')
			out = append(append(out, f.help...), '\n')
		}
		if f.typ != Untyped && !f.conflict {
			out = append(append(append(out, "# TYPE "...), f.name...), ' ')
			out = append(append(out, f.typ.String()...), '\n')
		}
		samples := 0
		for _, l := range f.lines {
			if f.own && l.script != nil {
				m.page.drop(DuplicateSeries, 0, l.line)
				continue
			}
			at := len(out)
			out = appendWithScript(out, &s, l)
			courtesy(at, len(out))
			samples++
		}
		if samples == 0 {
			out = out[:before]
			continue
		}
		m.page.Samples += samples
		m.page.Families++
	}
	m.page.body = out
}

// appendWithScript writes the sample line with its script label, first of all
// labels, and a newline.
func appendWithScript(dst []byte, s *sample, l mergedLine) []byte {
	if l.script == nil {
		return append(append(dst, l.line...), '\n')
	}
	dst = append(append(append(dst, l.name...), '{'), l.script...)
	i := skipBlanks(l.line, len(l.name))
	if l.line[i] != '{' {
		dst = append(dst, '}', ' ')
		return append(append(dst, l.line[i:]...), '\n')
	}
	i = skipBlanks(l.line, i+1)
	if l.line[i] != '}' {
		dst = append(dst, ',')
	}
	if !bytes.Contains(l.line, []byte("script")) {
		return append(append(dst, l.line[i:]...), '\n')
	}
	s.scan(l.line)
	for n, x := range s.labels {
		if n > 0 {
			dst = append(dst, ',')
		}
		name := string(x.name)
		if name == "script" {
			for name = "exported_script"; s.has(name); {
				name = "exported_" + name
			}
		}
		dst = append(append(dst, name...), '=', '"')
		dst = append(append(dst, x.value...), '"')
	}
	dst = append(dst, '}', ' ')
	tail := l.line[s.valueAt:]
	return append(append(dst, tail...), '\n')
}
