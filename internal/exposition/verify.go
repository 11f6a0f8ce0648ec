package exposition

import (
	"bytes"
	"hash/maphash"
	"sync"
)

// checker is what one pass over a text needs. Checkers are pooled.
type checker struct {
	text   []byte
	fams   families
	series seriesSet
	sample sample
	other  sample // the earlier one of two that may be duplicates
	recs   []rec

	inserts []insert // verify: where directives' HELP and TYPE go
	buf     []byte   // mend: lines written anew
	samples int
}

// insert says that the directive's lines of a family belong before the line
// that begins at text[at].
type insert struct {
	at  int
	fam int32
}

// rec is one line of the text, as verify and mend note it.
type rec struct {
	line []byte // without newline
	name []byte // of the sample, or of what the metadata is about
	no   int32  // line number, from 1; mend only
	fam  int32
	next int32 // the next line of the same family, -1: none; mend only
	kind kind
	typ  Type // of a TYPE line
	help bool // a HELP line with text; mend only
}

const maxKeptLines = 1 << 14 // a checker with room for more is not kept for later

var checkers = sync.Pool{New: func() any { return new(checker) }}

func getChecker() *checker { return checkers.Get().(*checker) }

// release gives the checker back, without a hold on the text.
func (c *checker) release() {
	if cap(c.recs) > maxKeptLines || cap(c.buf) > maxKeptLines*64 || cap(c.fams.list) > maxKeptLines {
		return
	}
	clear(c.recs)
	c.recs, c.text = c.recs[:0], nil
	c.fams.reset()
	c.sample.forget()
	c.other.forget()
	checkers.Put(c)
}

func (s *sample) forget() {
	clear(s.labels[:cap(s.labels)])
	*s = sample{labels: s.labels[:0], text: s.text[:0]}
}

func (c *checker) reset(text []byte, d *Directives) {
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

// verify tells whether the text, whose every line ends in newline, is valid as
// it is; c.inserts then says where the directives' lines go.
// On true c.fams and c.samples are complete; with keep, so is c.recs. It stops
// at the first thing that is not valid: mend takes it from there, from the
// start.
func (c *checker) verify(text []byte, d *Directives, keep bool) bool {
	c.reset(text, d)
	current := int32(-1) // the family of the line before
	var name []byte      // the sample name before, and what came of it
	var named int32
	var nameHash uint64
	for at := 0; at < len(text); {
		end := at + bytes.IndexByte(text[at:], '\n')
		line := text[at:end]
		start := at
		at = end + 1
		courtesy(start, at)
		if len(line) == 0 || class[line[0]]&startsName == 0 {
			if len(line) > 0 && line[len(line)-1] == '\r' {
				return false
			}
			i := skipBlanks(line, 0)
			if i == len(line) {
				if keep {
					c.recs = append(c.recs, rec{line: line, fam: current})
				}
				continue
			}
			if line[i] != '#' {
				return false
			}
			cm, why := scanComment(line, i)
			if why != None || !cm.exact {
				return false
			}
			r := rec{
				line: line,
				fam:  current,
				kind: cm.kind,
				typ:  cm.typ,
			}
			if cm.kind != kindComment {
				r.name = cm.name
				r.fam = c.fams.resolve(cm.name)
				name = nil // it may have changed what a sample name resolves to
				f := &c.fams.list[r.fam]
				if !f.enter(&current, r.fam) || !f.describe(&cm) {
					return false
				}
			}
			if keep {
				c.recs = append(c.recs, r)
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
		if !c.firstOf(nameHash, int32(start)+1) {
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

// enter notes a line of the family; false when others stood between its lines.
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

// describe notes a HELP or TYPE line; false for one that expfmt takes for a
// second one, or for TYPE after samples.
func (f *family) describe(c *comment) bool {
	if len(c.name) != len(f.name) && !f.typed {
		return false // it is about a part of what only a directive calls a histogram or summary
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

// takeDirective notes the directive's HELP and TYPE where the text has none;
// false when nothing is to be written.
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

// firstOf notes c.sample under an id, the place of its line in c.text plus 1;
// false when a duplicate was noted before.
func (c *checker) firstOf(nameHash uint64, id int32) bool {
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

// seriesHash is the hash of all that makes two samples duplicates.
func (s *sample) seriesHash(nameHash uint64) uint64 {
	const odd = 0x9e3779b97f4a7c15
	h := s.hash ^ nameHash*odd
	if s.hasTS {
		h = (h ^ uint64(s.ts)) * odd
	}
	return h ^ h>>32
}
