package exposition

import (
	"bytes"
	"unicode/utf8"
)

// appendRepaired rewrites a label value: it decodes C escapes and encodes only
// what the exposition format escapes. It returns the reason when it cannot.
//
// SystemTap's string_quoted writes \a \b \f \n \r \t \v \" \\, three octal
// digits for other bytes, \uXXXX and \UXXXXXXXX for UTF-8 (SystemTap 4.8,
// runtime/stp_string.c, _stp_text_str). Observed with SystemTap 4.8: the bpf
// runtime writes \x and two hexadecimal digits for any byte. UTF-8 is validated
// after decoding, because bpf escapes each byte of a character separately.
func appendRepaired(dst, value []byte) ([]byte, Reason) {
	from := len(dst)
	dst, ok := appendDecoded(dst, value)
	if !ok {
		return dst[:from], BadEscape
	}
	if !utf8.Valid(dst[from:]) {
		return dst[:from], NotUTF8
	}
	if bytes.IndexByte(dst[from:], '"') < 0 && bytes.IndexByte(dst[from:], '\\') < 0 &&
		bytes.IndexByte(dst[from:], '\n') < 0 {
		return dst, None
	}
	plain := bytes.Clone(dst[from:])
	return appendEscaped(dst[:from], plain), None
}

// appendEscaped appends a label value with the escapes of the exposition
// format.
func appendEscaped(dst, plain []byte) []byte {
	for _, b := range plain {
		switch b {
		case '"', '\\':
			dst = append(dst, '\\', b)
		case '\n':
			dst = append(dst, '\\', 'n')
		default:
			dst = append(dst, b)
		}
	}
	return dst
}

// appendDecoded appends the bytes that a quoted C string stands for. It returns
// false for an escape that C does not know.
func appendDecoded(dst, value []byte) ([]byte, bool) {
	for i := 0; i < len(value); i++ {
		if value[i] != '\\' {
			dst = append(dst, value[i])
			continue
		}
		if i++; i == len(value) {
			return dst, false
		}
		switch b := value[i]; b {
		case '\\', '"', '\'', '?':
			dst = append(dst, b)
		case 'n':
			dst = append(dst, '\n')
		case 't':
			dst = append(dst, '\t')
		case 'r':
			dst = append(dst, '\r')
		case 'a':
			dst = append(dst, '\a')
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'v':
			dst = append(dst, '\v')
		case 'e':
			dst = append(dst, 0x1b)
		case 'x':
			n, v := digits(value[i+1:], 2, 16)
			if n == 0 {
				return dst, false
			}
			dst = append(dst, byte(v))
			i += n
		case 'u', 'U':
			want := 4
			if b == 'U' {
				want = 8
			}
			n, v := digits(value[i+1:], want, 16)
			if n != want || v > utf8.MaxRune || !utf8.ValidRune(rune(v)) {
				return dst, false
			}
			dst = utf8.AppendRune(dst, rune(v))
			i += n
		default:
			n, v := digits(value[i:], 3, 8)
			if n == 0 || v > 0xff {
				return dst, false
			}
			dst = append(dst, byte(v))
			i += n - 1
		}
	}
	return dst, true
}

// digits reads up to limit digits of the base from the start of b. It returns
// their number and their value.
func digits(b []byte, limit int, base uint32) (n int, v uint32) {
	for n < limit && n < len(b) {
		d := uint32(99)
		switch c := b[n]; {
		case c >= '0' && c <= '9':
			d = uint32(c - '0')
		case c >= 'a' && c <= 'f':
			d = uint32(c-'a') + 10
		case c >= 'A' && c <= 'F':
			d = uint32(c-'A') + 10
		}
		if d >= base {
			break
		}
		v = v*base + d
		n++
	}
	return n, v
}
