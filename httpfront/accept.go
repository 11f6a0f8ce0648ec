package httpfront

import (
	"bytes"
	"iter"
)

// fullQuality is the q-value 1, in thousandths.
const fullQuality = 1000

// prefersHTML tells whether the Accept header is a browser's: it names
// text/html and does not prefer text/plain to it. Wildcards name nothing, so
// curl and Prometheus get text.
func prefersHTML(accept []byte) bool {
	html, plain := -1, -1 // q-values; -1: not named
	htmlFirst := false
	anyText, anything := 0, 0
	for media, q := range mediaRanges(accept) {
		switch {
		case bytes.EqualFold(media, []byte("text/html")):
			html = max(html, q)
			htmlFirst = plain < 0
		case bytes.EqualFold(media, []byte("text/plain")):
			plain = max(plain, q)
		case bytes.EqualFold(media, []byte("text/*")):
			anyText = max(anyText, q)
		case bytes.Equal(media, []byte("*/*")):
			anything = max(anything, q)
		}
	}
	if html <= 0 {
		return false
	}
	if plain < 0 { // the more particular range counts, and a name wins over it
		if anyText > 0 {
			return html >= anyText
		}
		return html >= anything
	}
	return html > plain || html == plain && htmlFirst
}

// mediaRanges yields the elements of an Accept header without their parameters,
// each with its q-value in thousandths: 1000 where none is given, 0 where it is
// not a q-value.
// The ranges are slices of header.
func mediaRanges(header []byte) iter.Seq2[[]byte, int] {
	return func(yield func([]byte, int) bool) {
		for element := range bytes.SplitSeq(header, []byte(",")) {
			media, params, _ := bytes.Cut(element, []byte(";"))
			q := fullQuality
			for param := range bytes.SplitSeq(params, []byte(";")) {
				key, value, _ := bytes.Cut(param, []byte("="))
				if bytes.EqualFold(bytes.TrimSpace(key), []byte("q")) {
					q = parseQuality(bytes.TrimSpace(value))
				}
			}
			media = bytes.TrimSpace(media)
			if len(media) > 0 && !yield(media, q) {
				return
			}
		}
	}
}

// parseQuality reads a q-value of RFC 9110, section 12.4.2, into thousandths:
// "0" to "1" with at most three decimals. Anything else is 0.
func parseQuality(value []byte) int {
	whole, decimals, _ := bytes.Cut(value, []byte("."))
	if len(whole) != 1 || whole[0] != '0' && whole[0] != '1' || len(decimals) > 3 {
		return 0
	}
	q, unit := int(whole[0]-'0')*fullQuality, fullQuality
	for _, c := range decimals {
		if c < '0' || c > '9' {
			return 0
		}
		unit /= 10
		q += int(c-'0') * unit
	}
	if q > fullQuality {
		return 0
	}
	return q
}
