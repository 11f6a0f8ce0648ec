package exposition

// Format is a form of the exposition text.
type Format uint8

// The formats.
const (
	FormatText        Format = iota // text format 0.0.4, the default
	FormatOpenMetrics               // OpenMetrics 1.0.0
)

// ContentType returns the value of the Content-Type header.
func (f Format) ContentType() string {
	if f == FormatOpenMetrics {
		return "application/openmetrics-text; version=1.0.0; charset=utf-8"
	}
	return "text/plain; version=0.0.4; charset=utf-8"
}

// Form is one form of a page.
type Form struct {
	Format Format
	Gzip   bool
}

var allForms = [...]Form{{FormatText, false}, {FormatText, true}, {FormatOpenMetrics, false}, {FormatOpenMetrics, true}}

func (f Form) bit() Forms {
	n := Forms(1) << (2 * f.Format)
	if f.Gzip {
		n <<= 1
	}
	return n
}

// Forms is a set of forms. The zero value is empty.
type Forms uint8

// With returns the set with one more.
func (s Forms) With(f Form) Forms { return s | f.bit() }
