package exposition

import (
	"bytes"
	"hash/maphash"
)

// mend builds the text anew, line by line: what verify would refuse is mended
// or left out, and each family's lines are put together.
// Every line of text ends in newline. The result is freshly allocated; what was
// done is counted in p.
//
// A family is known by all HELP and TYPE lines of the text, wherever they
// stand, and each family's own are written before its samples. So a reader from
// top to bottom comes to the same families.
func (c *checker) mend(p *Page, text []byte, d *Directives) []byte {
	c.reset(text, d)
	c.buf = c.buf[:0]
	c.mendLines(p)
	c.describe(p)
	order := c.assign(p)
	return c.write(order, len(text))
}

// mendLines fills c.recs with the text's lines, mended one by one.
func (c *checker) mendLines(p *Page) {
	no := int32(0)
	for at := 0; at < len(c.text); {
		end := at + bytes.IndexByte(c.text[at:], '\n')
		raw := c.text[at:end]
		courtesy(at, end+1)
		at = end + 1
		no++
		line := bytes.TrimRight(raw, "\r")
		if no == 1 {
			line = bytes.TrimPrefix(line, []byte("\uFEFF"))
		}
		r := rec{
			line: line,
			no:   no,
			next: -1,
			fam:  -1,
		}
		i := skipBlanks(line, 0)
		var why Reason
		switch {
		case i == len(line):
		case line[i] == '#':
			why = c.mendComment(p, &r, i)
		default:
			why = c.mendLine(p, &r)
		}
		if why != None {
			p.drop(why, int(no), raw)
			continue
		}
		if len(line) != len(raw) {
			p.Repaired[RepairBlank]++
		}
		c.recs = append(c.recs, r)
	}
}

// mendComment handles a line that begins with '#': r.line[i].
func (c *checker) mendComment(p *Page, r *rec, i int) Reason {
	cm, why := scanComment(r.line, i)
	if why != None {
		return why
	}
	r.kind, r.name, r.typ, r.help = cm.kind, cm.name, cm.typ, len(cm.help) > 0
	if !cm.exact {
		r.line = c.keep(func(dst []byte) []byte { return cm.appendMetadata(dst) })
		p.Repaired[RepairMetadata]++
	}
	return None
}

// mendLine handles a line that must be a sample.
func (c *checker) mendLine(p *Page, r *rec) Reason {
	line := bytes.Trim(r.line, " \t\r")
	trimmed := len(line) != len(r.line)
	s := &c.sample
	why := s.scan(line)
	if why != None && why != BadValue && why != BadTimestamp {
		from := len(c.buf)
		var what mended
		var refused Reason
		if c.buf, what, refused = mendSample(c.buf, line); refused != None {
			c.buf = c.buf[:from]
			return refusal(why, refused)
		}
		line = c.buf[from:len(c.buf):len(c.buf)]
		if why = s.scan(line); why == None {
			for m := range numRepairs {
				if what.has(m) {
					p.Repaired[m]++
				}
			}
		}
	}
	if why != None {
		return why
	}
	if trimmed {
		p.Repaired[RepairBlank]++
	}
	r.kind, r.line, r.name = kindSample, line, s.name
	return None
}

// refusal picks the reason to tell: mendSample sees less than scan, but knows
// which escapes can be mended.
func refusal(scan, mend Reason) Reason {
	if scan == BadEscape || scan == BadLabel && mend == NotUTF8 {
		return mend
	}
	return scan
}

// keep writes behind c.buf and returns what was written.
func (c *checker) keep(write func([]byte) []byte) []byte {
	from := len(c.buf)
	c.buf = write(c.buf)
	return c.buf[from:len(c.buf):len(c.buf)]
}

// describe gives each HELP and TYPE line its family, and drops second ones:
// also those about a part of a histogram or summary, which expfmt takes for
// second ones of the whole.
// A directive's histogram or summary does not hold where the text itself says
// something about a part.
func (c *checker) describe(p *Page) {
	for i := range c.recs {
		r := &c.recs[i]
		if r.kind != kindHelp && r.kind != kindType {
			continue
		}
		r.fam = c.fams.exact(r.name)
		f := &c.fams.list[r.fam]
		switch {
		case r.kind == kindHelp && !r.help:
		case r.kind == kindHelp && !f.helped:
			f.helped = true
		case r.kind == kindType && !f.typed:
			f.typed, f.typ = true, r.typ
		default:
			r.kind = kindGone
			p.Repaired[RepairMetadata]++
		}
	}
	for i := range c.recs {
		if r := &c.recs[i]; r.kind == kindHelp || r.kind == kindType {
			if n := c.fams.parent(r.name); n >= 0 && !c.fams.list[n].typed {
				c.fams.list[n].given, c.fams.list[n].typ = nil, Untyped
			}
		}
	}
	for i := range c.recs {
		if r := &c.recs[i]; (r.kind == kindHelp || r.kind == kindType) && c.fams.owner(r.name) >= 0 {
			r.kind = kindGone
			p.Repaired[RepairMetadata]++
		}
	}
}

// assign finds each sample's family, drops duplicates and what does not fit its
// family, and returns the families in order of appearance; each one's lines are
// a list from first.
func (c *checker) assign(p *Page) []int32 {
	var order []int32
	// waiting: the first of the comments that go with the next line
	current, waiting := int32(-1), int32(-1)
	for i := range c.recs {
		r := &c.recs[i]
		switch r.kind {
		case kindGone:
			continue
		case kindComment:
			if waiting < 0 {
				waiting = int32(i)
			}
			continue
		case kindSample:
			if why := c.assignSample(r, int32(i)); why != None {
				p.drop(why, int(r.no), r.line)
				r.kind = kindGone
				continue
			}
		case kindHelp, kindType:
			if f := &c.fams.list[r.fam]; f.sampled {
				f.rearranged = true
				if r.kind == kindType {
					p.Repaired[RepairMetadata]++
				}
			}
		}
		f := &c.fams.list[r.fam]
		if !f.present {
			f.present = true
			order = append(order, r.fam)
		} else if current != r.fam {
			p.Repaired[RepairScattered]++
		}
		current = r.fam
		if waiting >= 0 {
			for n := waiting; n < int32(i); n++ {
				if c.recs[n].kind == kindComment {
					c.link(f, n)
				}
			}
			waiting = -1
		}
		c.link(f, int32(i))
		f.sampled = f.sampled || r.kind == kindSample
	}
	if waiting >= 0 {
		// What stands behind the last line makes a family of its own, without
		// name.
		c.fams.list = append(c.fams.list, family{first: -1, last: -1})
		n := int32(len(c.fams.list) - 1)
		for i := int(waiting); i < len(c.recs); i++ {
			if c.recs[i].kind == kindComment {
				c.link(&c.fams.list[n], int32(i))
			}
		}
		order = append(order, n)
	}
	return order
}

// assignSample finds the family of the sample in c.recs[i], and whether it may
// stay.
func (c *checker) assignSample(r *rec, i int32) Reason {
	hash := maphash.Bytes(seed, r.name)
	n := c.fams.owner(r.name)
	if n < 0 {
		n = c.fams.exact(r.name)
	}
	r.fam = n
	f := &c.fams.list[n]
	c.sample.scan(r.line)
	if why := f.fits(&c.sample); why != None {
		return why
	}
	h := c.sample.seriesHash(hash)
	for slot := h; ; slot++ {
		var found int32
		found, slot = c.series.next(h, slot)
		if found == 0 {
			c.series.put(slot, h, i+1)
			break
		}
		c.other.scan(c.recs[found-1].line)
		if c.sample.same(&c.other) {
			return DuplicateSeries
		}
	}
	f.samples++
	c.samples++
	return None
}

// link appends c.recs[i] to the family's lines.
func (c *checker) link(f *family, i int32) {
	if f.last < 0 {
		f.first = i
	} else {
		c.recs[f.last].next = i
	}
	f.last = i
}

// write puts the families' lines together.
func (c *checker) write(order []int32, size int) []byte {
	out := make([]byte, 0, size+256)
	for _, n := range order {
		f := &c.fams.list[n]
		if f.rearranged {
			for i := f.first; i >= 0; i = c.recs[i].next {
				if r := &c.recs[i]; r.kind == kindHelp || r.kind == kindType {
					out = append(append(out, r.line...), '\n')
					r.kind = kindGone
				}
			}
		}
		for i := f.first; i >= 0; i = c.recs[i].next {
			r := &c.recs[i]
			if r.kind == kindGone {
				continue
			}
			if r.kind == kindSample && f.given != nil {
				if f.takeDirective() {
					out = append(append(out, f.given.help...), f.given.line...)
				}
				f.given = nil
			}
			out = append(append(out, r.line...), '\n')
		}
	}
	return out
}
