package exposition

import "bytes"

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

// offer is how much a client wants a format.
type offer struct {
	specific int // how exactly the best range names it; 0: no range does
	q        int // thousandths
}

// Negotiate picks the format from an Accept header's value (several headers
// joined by commas), as RFC 9110 has it: for each format the most specific
// range counts, and the higher q wins.
// At equal q the format that is named more exactly wins, then text. Text is
// also the answer to a header that is empty or accepts neither: a scrape with
// the default is better than none.
// Ranges that ask for a version that is not made here, as text/plain;
// version=1.0.0, are passed over. It does not allocate.
func Negotiate(accept []byte) Format {
	var text, om offer
	for len(accept) > 0 {
		var part []byte
		part, accept = cutUnquoted(accept, ',')
		media, params := cutUnquoted(part, ';')
		media = bytes.Trim(media, " \t")
		var toText, toOM int
		switch {
		case equalFold(media, "*/*"):
			toText, toOM = 1, 1
		case equalFold(media, "text/*"):
			toText = 2
		case equalFold(media, "application/*"):
			toOM = 2
		case equalFold(media, "text/plain"):
			toText = 3
		case equalFold(media, "application/openmetrics-text"):
			toOM = 3
		default:
			continue
		}
		version, q, ok := mediaParams(params)
		if !ok {
			continue
		}
		if len(version) > 0 {
			if toText != 0 && string(version) != "0.0.4" {
				toText = 0
			}
			if toOM != 0 && string(version) != "1.0.0" {
				toOM = 0
			}
			toText, toOM = 2*toText, 2*toOM
		}
		text.better(toText, q)
		om.better(toOM, q)
	}
	if om.q > text.q || om.q == text.q && om.q > 0 && om.specific > text.specific {
		return FormatOpenMetrics
	}
	return FormatText
}

// better takes a range into account; of equally specific ones the highest q
// counts.
func (o *offer) better(specific, q int) {
	if specific > o.specific || specific > 0 && specific == o.specific && q > o.q {
		*o = offer{specific, q}
	}
}

// AcceptsGzip tells whether an Accept-Encoding header's value allows gzip; gzip
// itself, or x-gzip, counts before "*". It does not allocate.
func AcceptsGzip(acceptEncoding []byte) bool {
	var gzip offer
	for len(acceptEncoding) > 0 {
		var part []byte
		part, acceptEncoding = cutUnquoted(acceptEncoding, ',')
		coding, params := cutUnquoted(part, ';')
		coding = bytes.Trim(coding, " \t")
		specific := 0
		switch {
		case equalFold(coding, "gzip"), equalFold(coding, "x-gzip"):
			specific = 2
		case string(coding) == "*":
			specific = 1
		}
		if _, q, ok := mediaParams(params); ok {
			gzip.better(specific, q)
		}
	}
	return gzip.q > 0
}

// mediaParams reads the version and q of a range; false when q is malformed,
// and the range counts for nothing.
func mediaParams(params []byte) (version []byte, q int, ok bool) {
	q = 1000
	for len(params) > 0 {
		var part []byte
		part, params = cutUnquoted(params, ';')
		name, value, _ := bytes.Cut(part, equals)
		name, value = bytes.Trim(name, " \t"), bytes.Trim(value, " \t")
		switch {
		case equalFold(name, "q"):
			if q, ok = quality(value); !ok {
				return nil, 0, false
			}
		case equalFold(name, "version"):
			version = bytes.Trim(value, `"`)
		}
	}
	return version, q, true
}

var equals = []byte{'='}

// quality reads a q-value in thousandths: 0 to 1 with at most three decimals.
func quality(b []byte) (int, bool) {
	if len(b) == 0 || len(b) > len("0.000") || b[0] > '1' || b[0] < '0' {
		return 0, false
	}
	q := int(b[0]-'0') * 1000
	if len(b) > 1 && b[1] != '.' {
		return 0, false
	}
	unit := 100
	for i := 2; i < len(b); i++ {
		if b[i] < '0' || b[i] > '9' {
			return 0, false
		}
		q += int(b[i]-'0') * unit
		unit /= 10
	}
	return q, q <= 1000
}

// cutUnquoted cuts b at the first sep that is not in a quoted string.
func cutUnquoted(b []byte, sep byte) (before, after []byte) {
	quoted := false
	for i := 0; i < len(b); i++ {
		switch {
		case b[i] == '"':
			quoted = !quoted
		case quoted && b[i] == '\\':
			i++
		case !quoted && b[i] == sep:
			return b[:i], b[i+1:]
		}
	}
	return b, nil
}

// equalFold compares with a lower-case ASCII word.
func equalFold(b []byte, word string) bool {
	if len(b) != len(word) {
		return false
	}
	for i := range b {
		c := b[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}
