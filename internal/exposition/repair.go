package exposition

import (
	"bytes"
	"hash/maphash"
)

// repair rebuilds the text: it repairs or drops each line that verify would
// reject and groups the lines of each family. Every line of text must end in a
// newline. The result is freshly allocated; p counts what was done.
//
// The families follow from all HELP and TYPE lines of the text, wherever they
// stand. The HELP and TYPE lines of a family are written before its samples, so
// a parser that reads from top to bottom determines the same families.
func (c *sanitizer) repair(p *Page, text []byte, d *Directives) []byte {
	c.reset(text, d)
	c.buf = c.buf[:0]
	c.repairLines(p)
	c.describe(p)
	order := c.assign(p)
	return c.write(order, len(text))
}

// repairLines fills c.recs with the lines of the text, each repaired by itself.
func (c *sanitizer) repairLines(p *Page) {
	no := int32(0)
	for at := 0; at < len(c.text); {
		end := at + bytes.IndexByte(c.text[at:], '\n')
		raw := c.text[at:end]
		yield(at, end+1)
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
			why = c.repairComment(p, &r, i)
		default:
			why = c.repairLine(p, &r)
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

// repairComment repairs a line whose first character, r.line[i], is '#'.
func (c *sanitizer) repairComment(p *Page, r *rec, i int) Reason {
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

// repairLine repairs a line that must be a sample.
func (c *sanitizer) repairLine(p *Page, r *rec) Reason {
	line := bytes.Trim(r.line, " \t\r")
	trimmed := len(line) != len(r.line)
	s := &c.sample
	why := s.scan(line)
	if why != None && why != BadValue && why != BadTimestamp {
		from := len(c.buf)
		var done repairSet
		var rejected Reason
		if c.buf, done, rejected = repairSample(c.buf, line); rejected != None {
			c.buf = c.buf[:from]
			return moreSpecific(why, rejected)
		}
		line = c.buf[from:len(c.buf):len(c.buf)]
		if why = s.scan(line); why == None {
			for m := range numRepairs {
				if done.has(m) {
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

// moreSpecific returns the reason to report for a line that both scan and
// repairSample reject. scan sees more of the line, but repairSample knows which
// escapes can be repaired.
func moreSpecific(scan, repair Reason) Reason {
	if scan == BadEscape || scan == BadLabel && repair == NotUTF8 {
		return repair
	}
	return scan
}

// keep appends to c.buf and returns what was appended.
func (c *sanitizer) keep(write func([]byte) []byte) []byte {
	from := len(c.buf)
	c.buf = write(c.buf)
	return c.buf[from:len(c.buf):len(c.buf)]
}

// describe assigns each HELP and TYPE line to its family and drops repeated
// ones. A line about a part of a histogram or summary is dropped too, because
// expfmt takes it for a repeated line of the whole. A directive for a histogram
// or summary is ignored when the text itself has HELP or TYPE of a part.
func (c *sanitizer) describe(p *Page) {
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
			r.kind = kindDropped
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
			r.kind = kindDropped
			p.Repaired[RepairMetadata]++
		}
	}
}

// assign finds the family of each sample, drops duplicates and samples that do
// not fit their family, and returns the families in order of appearance. The
// lines of a family are a list that begins at its first.
func (c *sanitizer) assign(p *Page) []int32 {
	var order []int32
	// comments is the first of the comments that go with the next line.
	current, comments := int32(-1), int32(-1)
	for i := range c.recs {
		r := &c.recs[i]
		switch r.kind {
		case kindDropped:
			continue
		case kindComment:
			if comments < 0 {
				comments = int32(i)
			}
			continue
		case kindSample:
			if why := c.assignSample(r, int32(i)); why != None {
				p.drop(why, int(r.no), r.line)
				r.kind = kindDropped
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
		if comments >= 0 {
			for n := comments; n < int32(i); n++ {
				if c.recs[n].kind == kindComment {
					c.link(f, n)
				}
			}
			comments = -1
		}
		c.link(f, int32(i))
		f.sampled = f.sampled || r.kind == kindSample
	}
	if comments >= 0 {
		// The comments after the last line form a family without a name.
		c.fams.list = append(c.fams.list, family{first: -1, last: -1})
		n := int32(len(c.fams.list) - 1)
		for i := int(comments); i < len(c.recs); i++ {
			if c.recs[i].kind == kindComment {
				c.link(&c.fams.list[n], int32(i))
			}
		}
		order = append(order, n)
	}
	return order
}

// assignSample finds the family of the sample in c.recs[i]. It returns the
// reason when the sample must be dropped.
func (c *sanitizer) assignSample(r *rec, i int32) Reason {
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

// link appends c.recs[i] to the lines of the family.
func (c *sanitizer) link(f *family, i int32) {
	if f.last < 0 {
		f.first = i
	} else {
		c.recs[f.last].next = i
	}
	f.last = i
}

// write joins the lines of the families in the given order.
func (c *sanitizer) write(order []int32, size int) []byte {
	out := make([]byte, 0, size+256)
	for _, n := range order {
		f := &c.fams.list[n]
		if f.rearranged {
			for i := f.first; i >= 0; i = c.recs[i].next {
				if r := &c.recs[i]; r.kind == kindHelp || r.kind == kindType {
					out = append(append(out, r.line...), '\n')
					r.kind = kindDropped
				}
			}
		}
		for i := f.first; i >= 0; i = c.recs[i].next {
			r := &c.recs[i]
			if r.kind == kindDropped {
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
