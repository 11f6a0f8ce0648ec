package exposition

import (
	"bytes"
	"hash/maphash"
	"sync"
)

// sanitizer is the working memory of one pass over a text. Sanitizers are
// pooled.
type sanitizer struct {
	text   []byte
	fams   families
	series seriesSet
	sample sample
	other  sample // the earlier one of two that may be duplicates
	recs   []rec

	inserts []insert // set by verify: where HELP and TYPE of directives go
	buf     []byte   // used by repair: rewritten lines
	samples int
}

// insert is a place for the directive's lines of a family: before the line that
// begins at text[at].
type insert struct {
	at  int
	fam int32
}

// rec is the record of one line of the text. Some fields are set by repair
// only.
type rec struct {
	line []byte // without newline
	name []byte // of the sample, or of the family that the metadata is about
	no   int32  // line number, from 1; repair only
	fam  int32  // index of the family; -1: none
	next int32  // the next line of the same family; -1: none; repair only
	kind kind
	typ  Type // of a TYPE line
	help bool // a HELP line with text; repair only
}

const maxKeptLines = 1 << 14 // a sanitizer for longer texts is not kept for reuse

var sanitizers = sync.Pool{New: func() any { return new(sanitizer) }}

func getSanitizer() *sanitizer { return sanitizers.Get().(*sanitizer) }

// release returns the sanitizer to the pool, without references to the text.
func (c *sanitizer) release() {
	if cap(c.recs) > maxKeptLines || cap(c.buf) > maxKeptLines*64 || cap(c.fams.list) > maxKeptLines {
		return
	}
	clear(c.recs)
	c.recs, c.text = c.recs[:0], nil
	c.fams.reset()
	c.sample.forget()
	c.other.forget()
	sanitizers.Put(c)
}

func (s *sample) forget() {
	clear(s.labels[:cap(s.labels)])
	*s = sample{labels: s.labels[:0], text: s.text[:0]}
}

func (c *sanitizer) reset(text []byte, d *Directives) {
	c.text = text
	c.fams.reset()
	c.series.reset(bytes.Count(text, newline) + 1)
	c.recs, c.inserts, c.samples = c.recs[:0], c.inserts[:0], 0
	if d == nil {
		return
	}
	for i := range d.list {
		f := &c.fams.list[c.fams.exact(d.list[i].name)]
		f.given, f.typ = &d.list[i], d.list[i].typ
	}
}

var newline = []byte{'\n'}

// verify reports whether the text is valid unchanged. Every line must end in a
// newline. When it is valid, c.fams and c.samples are complete, c.inserts has
// the places for the lines of directives, and with keep c.recs is complete.
// verify stops at the first invalid line; repair then starts again from the
// first one.
func (c *sanitizer) verify(text []byte, d *Directives, keep bool) bool {
	c.reset(text, d)
	current := int32(-1) // the family of the previous line
	var name []byte      // of the previous sample
	var named int32      // the family of name
	var nameHash uint64  // the hash of name
	for at := 0; at < len(text); {
		end := at + bytes.IndexByte(text[at:], '\n')
		line := text[at:end]
		start := at
		at = end + 1
		yield(start, at)
		if len(line) == 0 || class[line[0]]&startsName == 0 {
			kind, ok := c.verifyComment(line, &current, keep)
			if !ok {
				return false
			}
			if kind != kindComment {
				name = nil // this line may have changed the family of a sample name
			}
			continue
		}
		s := &c.sample
		if s.scan(line) != None {
			return false
		}
		if string(name) != string(s.name) {
			name = s.name
			named = c.fams.resolve(name)
			nameHash = maphash.Bytes(seed, name)
		}
		f := &c.fams.list[named]
		if !f.enter(&current, named) {
			return false
		}
		if f.samples == 0 && f.given != nil && f.takeDirective() {
			c.inserts = append(c.inserts, insert{start, named})
		}
		f.samples++
		c.samples++
		if f.typ >= Histogram && f.fits(s) != None {
			return false
		}
		if !c.addSeries(nameHash, int32(start)+1) {
			return false
		}
		if keep {
			c.recs = append(c.recs, rec{
				line: line,
				name: s.name,
				fam:  named,
				kind: kindSample,
			})
		}
	}
	return true
}

// verifyComment is verify for a comment, HELP, TYPE or blank line.
func (c *sanitizer) verifyComment(line []byte, current *int32, keep bool) (kind, bool) {
	if len(line) > 0 && line[len(line)-1] == '\r' {
		return kindComment, false
	}
	r := rec{line: line, fam: *current}
	if i := skipBlanks(line, 0); i < len(line) {
		if line[i] != '#' {
			return kindComment, false
		}
		cm, why := scanComment(line, i)
		if why != None || !cm.exact {
			return kindComment, false
		}
		r.kind, r.typ = cm.kind, cm.typ
		if cm.kind != kindComment {
			r.name = cm.name
			r.fam = c.fams.resolve(cm.name)
			f := &c.fams.list[r.fam]
			if !f.enter(current, r.fam) || !f.describe(&cm) {
				return kindComment, false
			}
		}
	}
	if keep {
		c.recs = append(c.recs, r)
	}
	return r.kind, true
}

// enter records a line of the family. It returns false when lines of other
// families stand between its lines.
func (f *family) enter(current *int32, n int32) bool {
	if *current == n {
		return true
	}
	if f.present {
		return false
	}
	f.present = true
	*current = n
	return true
}

// describe records a HELP or TYPE line. It returns false for a line that expfmt
// takes for a repeated one, and for TYPE after samples.
func (f *family) describe(c *comment) bool {
	if len(c.name) != len(f.name) && !f.typed {
		return false // about a part of a histogram or summary that only a directive declares
	}
	if c.kind == kindHelp {
		if len(c.help) == 0 {
			return true
		}
		if f.helped {
			return false
		}
		f.helped = true
		return true
	}
	if f.typed || f.samples > 0 {
		return false
	}
	f.typed, f.typ = true, c.typ
	return true
}

// takeDirective records the HELP and TYPE of the directive where the text has
// none. It returns false when nothing must be written.
func (f *family) takeDirective() bool {
	help, typ := f.given.help != nil && !f.helped, f.given.line != nil && !f.typed
	if !help && !typ {
		f.given = nil
		return false
	}
	if !typ || !help {
		d := *f.given
		if !help {
			d.help = nil
		}
		if !typ {
			d.line = nil
		}
		f.given = &d
	}
	f.helped, f.typed = f.helped || help, f.typed || typ
	return true
}

// addSeries records c.sample under an id, the offset of its line in c.text plus
// 1. It returns false for a duplicate of an earlier sample.
func (c *sanitizer) addSeries(nameHash uint64, id int32) bool {
	hash := c.sample.seriesHash(nameHash)
	for slot := hash; ; slot++ {
		var found int32
		found, slot = c.series.next(hash, slot)
		if found == 0 {
			c.series.put(slot, hash, id)
			return true
		}
		line := c.text[found-1:]
		c.other.scan(line[:bytes.IndexByte(line, '\n')])
		if c.sample.same(&c.other) {
			return false
		}
	}
}

// seriesHash returns the hash of everything that makes two samples duplicates.
func (s *sample) seriesHash(nameHash uint64) uint64 {
	const odd = 0x9e3779b97f4a7c15
	h := s.hash ^ nameHash*odd
	if s.hasTS {
		h = (h ^ uint64(s.ts)) * odd
	}
	return h ^ h>>32
}
