package script

import (
	"errors"
	"strings"
)

// errQuote means that a quote is not closed.
var errQuote = errors.New("a quote is not closed")

// splitLine splits a directive line at blanks. Double quotes, anywhere in a
// word, keep blanks and are removed; inside them \" is a quote, \\ a backslash
// and \n a newline. Outside them a backslash is a backslash.
func splitLine(s string) ([]string, error) {
	var words []string
	var word strings.Builder
	open, quoted := false, false // in a word, in quotes
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '"':
			quoted, open = !quoted, true
		case quoted && c == '\\':
			i++
			j := -1
			if i < len(s) {
				j = strings.IndexByte(`"\n`, s[i])
			}
			if j < 0 {
				return nil, errors.New(`a backslash in quotes must be followed by ", \ or n`)
			}
			word.WriteByte("\"\\\n"[j])
		case !quoted && isBlank(c):
			if open {
				words = append(words, word.String())
				word.Reset()
			}
			open = false
		default:
			word.WriteByte(c)
			open = true
		}
	}
	if quoted {
		return nil, errQuote
	}
	if open {
		words = append(words, word.String())
	}
	return words, nil
}

// splitWords splits stap's options at blanks, as a POSIX shell would: quotes of
// either kind keep blanks and are removed, and a backslash, except in single
// quotes, keeps the next character. Nothing is expanded.
func splitWords(s string) ([]string, error) {
	if strings.IndexByte(s, 0) >= 0 {
		return nil, errors.New("a NUL character")
	}
	var words []string
	var word strings.Builder
	open := false
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && quote != '\'':
			if i++; i == len(s) {
				return nil, errors.New("a backslash ends the text")
			}
			word.WriteByte(s[i])
			open = true
		case quote == 0 && (c == '"' || c == '\''):
			quote, open = c, true
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (isBlank(c) || c == '\n'):
			if open {
				words = append(words, word.String())
				word.Reset()
			}
			open = false
		default:
			word.WriteByte(c)
			open = true
		}
	}
	if quote != 0 {
		return nil, errQuote
	}
	if open {
		words = append(words, word.String())
	}
	return words, nil
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }
