package exposition

import (
	"bytes"
	"strings"
)

// Source is one script's page in a Merge.
type Source struct {
	// Script becomes the script label of each sample. It is empty for the
	// exporter's own page, whose samples get no label.
	Script string
	Page   *Page // nil is skipped
}

// Merge joins several pages into one. Each sample gets the label script; a
// script's own script label becomes exported_script (exported_exported_script
// if that exists, and so on). A second source with the same script is skipped.
//
// Families of the same name become one family, in order of first appearance.
// The first HELP wins. The TYPE is kept when no two sources contradict each
// other. A source without TYPE agrees with counter and gauge, but contradicts
// histogram and summary, whose samples must have certain names and labels; so
// does a family with the name of one of their parts (x_count beside histogram
// x). After a contradiction the family has no TYPE, and a histogram or summary
// becomes one family for each of its sample names.
//
// The families of the exporter's own page belong to it: a script's samples of
// the same name are dropped as DuplicateSeries.
func Merge(sources []Source) *Page {
	texts := 0
	for _, src := range sources {
		if src.Page != nil {
			texts += len(src.Page.body)
		}
	}
	defer acquire(texts)()
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
	m.resolveTypes()
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
	typ      Type // the TYPE of the first source that has one
	untyped  bool // a source has no TYPE
	conflict bool
	own      bool   // part of the exporter's own page
	help     []byte // as written in a HELP line; nil: none
	lines    []mergedLine
}

type mergedLine struct {
	line, name []byte
	script     []byte // the label to add; nil: none
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

// read adds the lines of one valid text. It does not copy them: the body of a
// page does not change.
func (m *merger) read(script, body []byte) {
	c := getSanitizer()
	defer c.release()
	if !c.verify(body, nil, true) {
		return // never for a valid text, as the fuzzers show
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
				f.addType(local.typ)
			}
			f.own = f.own || script == nil
			f.lines = append(f.lines, mergedLine{r.line, r.name, script})
		case kindComment, kindType, kindDropped:
		}
	}
}

// sameSlice reports whether a and b are the same bytes in memory.
func sameSlice(a, b []byte) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// addType records the type that one source has for the family.
func (f *mergedFamily) addType(t Type) {
	switch {
	case t == Untyped:
		f.untyped = true
	case f.typ == Untyped:
		f.typ = t
	case f.typ != t:
		f.conflict = true
	}
}

func isComposite(t Type) bool { return t == Histogram || t == Summary }

// resolveTypes finds families whose sources contradict each other and splits
// the histograms and summaries among them. A split may cause the next conflict,
// so it repeats until nothing changes; each family is split once.
func (m *merger) resolveTypes() {
	split := make(map[*mergedFamily]bool)
	for changed := true; changed; {
		changed = false
		for i := 0; i < len(m.order); i++ {
			f := m.order[i]
			if isComposite(f.typ) && !f.conflict && (f.untyped || m.partExists(f)) {
				f.conflict = true
			}
			if f.conflict && !split[f] {
				split[f] = true
				m.splitParts(f)
				changed = true
			}
		}
	}
}

// partExists reports whether another family with samples has the name of a part
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

// splitParts moves each sample to the family of exactly its name.
func (m *merger) splitParts(f *mergedFamily) {
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
			yield(at, len(out))
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

// appendWithScript appends the sample line with its script label, before all
// other labels, and a newline.
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
			for name = "exported_script"; s.get(name) != nil; {
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
