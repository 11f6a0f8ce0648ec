package exposition

import (
	"bytes"
	"strconv"
	"sync"
)

// MaxText is how many bytes SystemTap's prometheus tapset gives at most:
// procfs("__prometheus").read.maxsize(0x10000), less the closing NUL. A text of
// this size was cut, in the middle of a line, without an error.
const MaxText = 0x10000 - 1

// Options is what Check must know of the read beside its bytes.
type Options struct {
	AtCap bool // the text was cut by a limit; Check knows MaxText by itself
	// the script ended since the read began, so that the text may be what it
	// had written until then
	ChildEnded bool
	// HELP and TYPE from the script's header, used where the text has none;
	// nil: none
	Directives *Directives
}

// Problem is one line that was left out.
type Problem struct {
	Line   int // from 1, in the text as it was read
	Reason Reason
	Text   string // the line, quoted as Go does, at most about 100 bytes of it
}

// String returns the problem as the log shows it.
func (p *Problem) String() string {
	return p.Reason.String() + " in line " + strconv.Itoa(p.Line) + ": " + p.Text
}

// Page is the outcome of one read, or of a Merge: valid exposition text, and
// what had to be done to get it. It is immutable but for its renderings, and
// may be used from any goroutine. Its fields are for reading.
type Page struct {
	Size     int             // bytes that were read; 0 for a merged page
	Samples  int             // samples kept
	Families int             // metric families that have samples
	Dropped  [numReasons]int // lines left out, by Reason
	Repaired [numRepairs]int // things put right, by Mend
	First    *Problem        // the first line left out; nil: none

	body  []byte
	empty bool

	om               rendering
	gzipText, gzipOM rendering
}

// rendering is one form of a page, made on first ask.
type rendering struct {
	once sync.Once
	body []byte
}

// Check makes the Page of one read. The text belongs to the Page from then on:
// it may be what Text returns.
func Sanitize(text []byte, o Options) *Page {
	defer turn(len(text))()
	p := &Page{Size: len(text), empty: len(bytes.Trim(text, " \t\r\n")) == 0}
	text = p.endLastLine(text, o)
	c := getChecker()
	defer c.release()
	switch {
	case !c.verify(text, o.Directives, false):
		p.body = c.mend(p, text, o.Directives)
	case len(c.inserts) > 0:
		p.body = c.insertDirectives()
	default:
		p.body = text
	}
	p.count(c)
	return p
}

// endLastLine sees to it that the text ends in newline, or is empty.
func (p *Page) endLastLine(text []byte, o Options) []byte {
	n := len(text)
	if n == 0 || text[n-1] == '\n' {
		return text
	}
	start := bytes.LastIndexByte(text, '\n') + 1
	if !o.AtCap && !o.ChildEnded && n < MaxText {
		p.Repaired[RepairNewline]++
		return append(text[:n:n], '\n') // a copy: what is behind the text may be somebody else's
	}
	if last := text[start:]; skipBlanks(last, 0) < len(last) {
		p.drop(TornLastLine, bytes.Count(text, newline)+1, last)
	}
	return text[:start]
}

// insertDirectives copies the verified text with the directives' lines between
// its own.
func (c *checker) insertDirectives() []byte {
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

func (p *Page) count(c *checker) {
	p.Samples = c.samples
	for i := range c.fams.list {
		if c.fams.list[i].samples > 0 {
			p.Families++
		}
	}
}

// drop counts a line that is left out.
func (p *Page) drop(why Reason, line int, text []byte) {
	p.Dropped[why]++
	if p.First != nil && p.First.Line <= line {
		return
	}
	const most = 80
	cut := ""
	if len(text) > most {
		text, cut = text[:most], "…"
	}
	p.First = &Problem{Line: line, Reason: why, Text: strconv.Quote(string(text)) + cut}
}

// Empty tells that nothing was read, or blanks only. Served as it is, such a
// page makes Prometheus forget every series of the script: read again, and then
// answer with NoSamples.
func (p *Page) Empty() bool { return p.empty }

// Ruined tells that something was read, but no sample of it is left, and that
// at least one line was left out: the answer is an error, not an empty page.
// Problems names the reason.
func (p *Page) Invalid() bool { return !p.empty && p.Samples == 0 && p.Problems() > 0 }

// Problems returns how many lines were left out.
func (p *Page) Problems() int {
	n := 0
	for _, d := range p.Dropped {
		n += d
	}
	return n
}

// Room returns how many bytes the script may still write before its text is
// cut, and whether less than a tenth is left.
func (p *Page) Headroom() (left int, scarce bool) {
	left = max(0, MaxText-p.Size)
	return left, left < MaxText/10
}

// NoSamples makes the page of a script that has no samples yet: one comment
// line. In OpenMetrics, which knows no comments, it is "# EOF" alone.
func NoSamples(comment string) *Page {
	line := append([]byte("# "), comment...)
	for i, b := range line {
		if b < ' ' {
			line[i] = ' '
		}
	}
	return &Page{body: append(line, '\n')}
}

// Text returns the page in the text format 0.0.4. Nobody may write to it.
func (p *Page) Text() []byte { return p.body }

// OpenMetrics returns the page in OpenMetrics 1.0.0. Nobody may write to it.
func (p *Page) OpenMetrics() []byte {
	p.om.once.Do(func() { p.om.body = renderOpenMetrics(p.body) })
	return p.om.body
}

// Render returns the page in one of its forms, which is made on first ask.
// Nobody may write to it.
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

// Prepare makes the forms that will be asked for, so that Render costs who asks
// nothing.
func (p *Page) Prepare(forms Forms) {
	for _, f := range allForms {
		if forms&f.bit() != 0 {
			p.Render(f)
		}
	}
}
