// Package display formats durations and names for people.
package display

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Spell formats a duration for people, with at most two units: "0 s", "12 s",
// "3 min 20 s", "2 h 5 min", "4 d 1 h". It truncates to whole seconds. A
// negative duration is "0 s".
func Spell(d time.Duration) string {
	s := max(int64(d/time.Second), 0)
	two := func(big int64, bigUnit string, small int64, smallUnit string) string {
		if small == 0 {
			return fmt.Sprintf("%d %s", big, bigUnit)
		}
		return fmt.Sprintf("%d %s %d %s", big, bigUnit, small, smallUnit)
	}
	switch {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return two(s/60, "min", s%60, "s")
	case s < 86400:
		return two(s/3600, "h", s%3600/60, "min")
	default:
		return two(s/86400, "d", s%86400/3600, "h")
	}
}

// WholeSeconds rounds up, to at least 1, for Retry-After.
func WholeSeconds(d time.Duration) int {
	return max(int((d+time.Second-1)/time.Second), 1)
}

// Printable makes one harmless line of a file name or message. Runes that a
// terminal or browser would not show as themselves become U+FFFD.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return utf8.RuneError
	}, s)
}

// PrintableLines does the same for several lines. It keeps tabs and removes
// blank lines at the end.
func PrintableLines(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return utf8.RuneError
	}, strings.TrimRight(s, "\n"))
}
