// Package accept answers what a client wants by its request headers Accept and
// Accept-Encoding. It reads them as RFC 9110, section 12.5, has it: the most
// specific element that matches counts, and a higher weight wins.
//
// The functions do not allocate and keep no slice of the header. Several
// headers of one name are given as one, joined by commas.
package accept

import (
	"bytes"
	"iter"
)

// fullQuality is the weight 1, in thousandths.
const fullQuality = 1000

// How exactly an element of an Accept header matches a media type.
const (
	matchNone = iota
	matchAny  // */*
	matchType // text/*
	matchName // text/plain
)

// An offer is the best match so far for one media type or coding.
type offer struct {
	match   int // matchNone: no element matches
	quality int // in thousandths
}

// consider takes an element into account. Of equally specific ones the highest
// weight counts.
func (o *offer) consider(match, quality int) {
	if match > o.match || match > matchNone && match == o.match && quality > o.quality {
		*o = offer{match, quality}
	}
}

// PrefersHTML reports whether the client is a browser: its Accept header names
// text/html and does not prefer text/plain. A wildcard does not count as a
// name, so curl and Prometheus get text.
func PrefersHTML(accept []byte) bool {
	var html, plain offer
	htmlFirst := false
	for e := range elements(accept) {
		switch {
		case equalFold(e.name, "text/html"):
			html.consider(matchName, e.quality)
			htmlFirst = plain.match < matchName
		case equalFold(e.name, "text/plain"):
			plain.consider(matchName, e.quality)
		case equalFold(e.name, "text/*"):
			plain.consider(matchType, e.quality)
		case equalFold(e.name, "*/*"):
			plain.consider(matchAny, e.quality)
		}
	}
	return html.quality > 0 && (html.quality > plain.quality || html.quality == plain.quality && htmlFirst)
}

// PrefersOpenMetrics reports whether the client prefers OpenMetrics 1.0.0 to
// the text format 0.0.4. At equal weight the format that is named more exactly
// wins, then text.
//
// Text is also the answer to a header that is empty or accepts neither: a
// scrape in the default format is better than none. An element that requests
// another version, such as text/plain; version=1.0.0, does not count.
func PrefersOpenMetrics(accept []byte) bool {
	var text, openMetrics offer
	for e := range elements(accept) {
		switch {
		case equalFold(e.name, "*/*"):
			text.considerVersion(matchAny, e, "0.0.4")
			openMetrics.considerVersion(matchAny, e, "1.0.0")
		case equalFold(e.name, "text/*"):
			text.considerVersion(matchType, e, "0.0.4")
		case equalFold(e.name, "application/*"):
			openMetrics.considerVersion(matchType, e, "1.0.0")
		case equalFold(e.name, "text/plain"):
			text.considerVersion(matchName, e, "0.0.4")
		case equalFold(e.name, "application/openmetrics-text"):
			openMetrics.considerVersion(matchName, e, "1.0.0")
		}
	}
	if openMetrics.quality == text.quality {
		return openMetrics.quality > 0 && openMetrics.match > text.match
	}
	return openMetrics.quality > text.quality
}

// considerVersion is consider for an element that may name the version. One
// that names the right version matches twice as exactly, one that names another
// does not match.
func (o *offer) considerVersion(match int, e element, version string) {
	switch {
	case len(e.version) == 0:
		o.consider(match, e.quality)
	case string(e.version) == version:
		o.consider(2*match, e.quality)
	}
}

// AllowsGzip reports whether an Accept-Encoding header allows gzip. The name
// gzip, or x-gzip, counts before "*".
func AllowsGzip(acceptEncoding []byte) bool {
	var gzip offer
	for e := range elements(acceptEncoding) {
		switch {
		case equalFold(e.name, "gzip"), equalFold(e.name, "x-gzip"):
			gzip.consider(matchName, e.quality)
		case string(e.name) == "*":
			gzip.consider(matchAny, e.quality)
		}
	}
	return gzip.quality > 0
}

// An element is one item of the list that the header is. Its slices belong to
// the header.
type element struct {
	name    []byte // media range or coding
	version []byte // the parameter version, without quotes; empty when absent
	quality int    // the weight q in thousandths; fullQuality when absent
}

// elements yields the elements of header. One with a malformed weight is left
// out.
func elements(header []byte) iter.Seq[element] {
	return func(yield func(element) bool) {
		for len(header) > 0 {
			var item []byte
			item, header = cutUnquoted(header, ',')
			if e, ok := parseElement(item); ok && !yield(e) {
				return
			}
		}
	}
}

func parseElement(item []byte) (element, bool) {
	name, params := cutUnquoted(item, ';')
	e := element{name: trim(name), quality: fullQuality}
	for len(params) > 0 {
		var param []byte
		param, params = cutUnquoted(params, ';')
		key, value, _ := bytes.Cut(param, equals)
		switch key, value = trim(key), trim(value); {
		case equalFold(key, "q"):
			ok := false
			if e.quality, ok = parseQuality(value); !ok {
				return element{}, false
			}
		case equalFold(key, "version"):
			e.version = bytes.Trim(value, `"`)
		}
	}
	return e, true
}

var equals = []byte{'='}

// parseQuality reads a weight into thousandths: 0 to 1 with at most three
// decimals (RFC 9110, section 12.4.2).
func parseQuality(b []byte) (int, bool) {
	if len(b) == 0 || len(b) > len("0.000") || b[0] > '1' || b[0] < '0' {
		return 0, false
	}
	if len(b) > 1 && b[1] != '.' {
		return 0, false
	}
	q, unit := int(b[0]-'0')*fullQuality, fullQuality
	for _, c := range b[min(2, len(b)):] {
		if c < '0' || c > '9' {
			return 0, false
		}
		unit /= 10
		q += int(c-'0') * unit
	}
	return q, q <= fullQuality
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

func trim(b []byte) []byte { return bytes.Trim(b, " \t") }

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
