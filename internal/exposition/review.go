package exposition

import (
	"fmt"
	"hash/maphash"
)

// Review names the directives that are wrong for a script, one sentence each, given a page of it that was checked without them: no samples of that name, another type in the text itself, or samples that cannot be part of such a histogram or summary.
func (d *Directives) Review(p *Page) []string {
	c := getChecker()
	defer c.release()
	if !c.verify(p.body, nil, true) {
		return nil // a checked text verifies: the fuzzers hold that
	}
	var wrong []string
	for i := range d.list {
		e := &d.list[i]
		if fault := c.review(e); fault != "" {
			wrong = append(wrong, fmt.Sprintf("metadata of %q: %s", e.name, fault))
		}
	}
	return wrong
}

// review returns what is wrong with one directive for the verified text, "" when nothing is.
func (c *checker) review(e *directive) string {
	if n := c.fams.find(e.name, maphash.Bytes(seed, e.name)); n >= 0 {
		if f := &c.fams.list[n]; f.typed && e.line != nil && f.typ != e.typ {
			return fmt.Sprintf("the script's text has TYPE %s, which holds", f.typ)
		}
	}
	as := family{name: e.name, typ: e.typ}
	samples := 0
	for i := range c.recs {
		r := &c.recs[i]
		if r.kind != kindSample || !as.covers(r.name) {
			continue
		}
		samples++
		c.sample.scan(r.line)
		if why := as.fits(&c.sample); why != None {
			return fmt.Sprintf("a sample does not fit a %s (%s): %s", e.typ, why, r.line)
		}
	}
	if samples == 0 {
		return "no sample has that name"
	}
	return ""
}

// covers tells whether a sample of this name is one of the family's, going by its type.
func (f *family) covers(name []byte) bool {
	if string(name) == string(f.name) {
		return true
	}
	base, bucket := stripSuffix(name)
	return string(base) == string(f.name) && (f.typ == Histogram || f.typ == Summary && !bucket)
}
