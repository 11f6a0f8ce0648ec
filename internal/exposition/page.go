package exposition

import (
	"bytes"
	"strconv"
	"sync"
)

// MaxText is the length of the longest text that SystemTap's prometheus tapset
// returns, in bytes: procfs("__prometheus").read.maxsize(0x10000), less the
// closing NUL. A text of this length was truncated, in the middle of a line and
// without an error.
const MaxText = 0x10000 - 1

// Options describe a read to Sanitize.
type Options struct {
	// Truncated says that the text may end in the middle of a line, for example
	// because the script ended during the read. Sanitize knows MaxText by
	// itself.
	Truncated bool
	// Directives are HELP and TYPE from the script's header, used where the
	// text has none; nil: none.
	Directives *Directives
}

// Problem is one dropped line.
type Problem struct {
	Line   int // in the text as it was read, from 1
	Reason Reason
	Text   string // the line as a quoted Go string, about 100 bytes of it at most
}

// String returns the problem in the form of the log.
func (p *Problem) String() string {
	return p.Reason.String() + " in line " + strconv.Itoa(p.Line) + ": " + p.Text
}

// Page is the result of one read, or of a Merge: valid exposition text with a
// record of what was dropped and repaired. It is immutable, apart from the
// renderings that it caches, and may be used from any goroutine. Callers must
// not modify its fields.
type Page struct {
	Size     int             // length of the text as it was read, in bytes; 0 for a merged page
	Samples  int             // samples kept
	Families int             // metric families with samples
	Dropped  [numReasons]int // dropped lines, by Reason
	Repaired [numRepairs]int // repairs, by Repair
	First    *Problem        // the first dropped line; nil: none

	body  []byte
	empty bool

	om               rendering
	gzipText, gzipOM rendering
}

// rendering is one form of a page, made for the first caller that needs it.
type rendering struct {
	once sync.Once
	body []byte
}

// Sanitize validates and repairs the text of one read. The text belongs to the
// Page from then on: Text may return the same bytes.
func Sanitize(text []byte, o Options) *Page {
	defer acquire(len(text))()
	p := &Page{Size: len(text), empty: len(bytes.Trim(text, " \t\r\n")) == 0}
	text = p.endLastLine(text, o)
	c := getSanitizer()
	defer c.release()
	switch {
	case !c.verify(text, o.Directives, false):
		p.body = c.repair(p, text, o.Directives)
	case len(c.inserts) > 0:
		p.body = c.insertDirectives()
	default:
		p.body = text
	}
	p.count(c)
	return p
}

// endLastLine returns a text that ends in a newline or is empty. It drops a
// last line that may be truncated.
func (p *Page) endLastLine(text []byte, o Options) []byte {
	n := len(text)
	if n == 0 || text[n-1] == '\n' {
		return text
	}
	start := bytes.LastIndexByte(text, '\n') + 1
	if !o.Truncated && n < MaxText {
		p.Repaired[RepairNewline]++
		return append(text[:n:n], '\n') // a copy: the capacity after the text may belong to others
	}
	if last := text[start:]; skipBlanks(last, 0) < len(last) {
		p.drop(TruncatedLastLine, bytes.Count(text, newline)+1, last)
	}
	return text[:start]
}

// insertDirectives copies the verified text and inserts the lines of the
// directives.
func (c *sanitizer) insertDirectives() []byte {
	size := len(c.text)
	for _, in := range c.inserts {
		d := c.fams.list[in.fam].given
		size += len(d.help) + len(d.line)
	}
	out := make([]byte, 0, size)
	from := 0
	for _, in := range c.inserts {
		d := c.fams.list[in.fam].given
		out = append(out, c.text[from:in.at]...)
		out = append(append(out, d.help...), d.line...)
		from = in.at
	}
	return append(out, c.text[from:]...)
}

func (p *Page) count(c *sanitizer) {
	p.Samples = c.samples
	for i := range c.fams.list {
		if c.fams.list[i].samples > 0 {
			p.Families++
		}
	}
}

// drop counts a dropped line.
func (p *Page) drop(why Reason, line int, text []byte) {
	p.Dropped[why]++
	if p.First != nil && p.First.Line <= line {
		return
	}
	const maxText = 80
	ellipsis := ""
	if len(text) > maxText {
		text, ellipsis = text[:maxText], "…"
	}
	p.First = &Problem{Line: line, Reason: why, Text: strconv.Quote(string(text)) + ellipsis}
}

// Empty reports that the text was empty or consisted of blanks. Serving such a
// page makes Prometheus mark every series of the script as stale: read again
// first, and then serve NoSamples.
func (p *Page) Empty() bool { return p.empty }

// Invalid reports that no sample is left because lines were dropped. The answer
// to a scrape is then an error, not an empty page; First has the reason.
func (p *Page) Invalid() bool { return !p.empty && p.Samples == 0 && p.Problems() > 0 }

// Problems returns the number of dropped lines.
func (p *Page) Problems() int {
	n := 0
	for _, d := range p.Dropped {
		n += d
	}
	return n
}

// Headroom returns how many more bytes the script may write before its text is
// truncated, and whether less than a tenth of MaxText is left.
func (p *Page) Headroom() (left int, scarce bool) {
	left = max(0, MaxText-p.Size)
	return left, left < MaxText/10
}

// NoSamples returns the page of a script that has no samples yet: one comment
// line, in which control characters become blanks. In OpenMetrics, which has no
// comments, it is "# EOF" alone.
func NoSamples(comment string) *Page {
	line := append([]byte("# "), comment...)
	for i, b := range line {
		if b < ' ' {
			line[i] = ' '
		}
	}
	return &Page{body: append(line, '\n')}
}

// Text returns the page in the text format 0.0.4. The bytes are shared: callers
// must not modify them.
func (p *Page) Text() []byte { return p.body }

// OpenMetrics returns the page in OpenMetrics 1.0.0. The bytes are shared:
// callers must not modify them.
func (p *Page) OpenMetrics() []byte {
	p.om.once.Do(func() { p.om.body = renderOpenMetrics(p.body) })
	return p.om.body
}

// Render returns the page in one of its forms. The first call for a form makes
// it, later calls share it: callers must not modify the bytes.
func (p *Page) Render(f Form) []byte {
	switch {
	case f.Format == FormatOpenMetrics && f.Gzip:
		p.gzipOM.once.Do(func() { p.gzipOM.body = compress(p.OpenMetrics()) })
		return p.gzipOM.body
	case f.Format == FormatOpenMetrics:
		return p.OpenMetrics()
	case f.Gzip:
		p.gzipText.once.Do(func() { p.gzipText.body = compress(p.body) })
		return p.gzipText.body
	}
	return p.body
}

// Prepare makes the given forms in advance, so that Render only returns them.
func (p *Page) Prepare(forms Forms) {
	for _, f := range allForms {
		if forms&f.bit() != 0 {
			p.Render(f)
		}
	}
}
