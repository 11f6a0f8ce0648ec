// Package body makes the text that the stand-in source of the benchmarks
// offers, and tells from a reply which read it came from, and when.
// Server and load program share it; both run on one machine, so that they share
// its monotonic clock, too.
package body

import (
	"bytes"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// A text begins and ends with the number of its read, so that a torn or mixed
// one shows. Numbers are written with an offset, in a fixed width: a text is
// made by copying another and writing over its digits.
const (
	Offset = 1_000_000_000_000_000 // for numbers and nanoseconds: room for 100 days of either
	Digits = 16
	begin  = "bench_begin "
	at     = "bench_read_nanoseconds "
	end    = "bench_end "
)

// Metric is the family of the filling lines, for the header directive that
// names its type.
const Metric = "count"

// Monotonic is the machine's monotonic clock, in nanoseconds.
func Monotonic() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // fails for unknown clocks only
	return t.Nano()
}

// Template is a text of one size, ready to be copied.
type Template struct {
	text           []byte
	begin, at, end int // where the digits are
}

// NewTemplate makes a text of about size bytes, but never less than its three
// numbers take.
func NewTemplate(size int) *Template {
	t := &Template{}
	number := func(name string) int {
		t.text = append(t.text, name...)
		t.text = strconv.AppendInt(t.text, Offset, 10)
		t.text = append(t.text, '\n')
		return len(t.text) - Digits - 1
	}
	t.begin = number(begin)
	t.at = number(at)
	last := len(end) + Digits + 1
	for i := 0; ; i++ {
		line := fmt.Appendf(nil, "%s{tid=\"%d\",cpu=\"%d\"} %d\n", Metric, 12000+i, i%8, i*i*977)
		if len(t.text)+len(line)+last > size {
			break
		}
		t.text = append(t.text, line...)
	}
	t.end = number(end)
	return t
}

// Samples is how many samples the text has.
func (t *Template) Samples() int { return bytes.Count(t.text, []byte("\n")) }

// Text is a fresh copy with the number of the read and the moment at which it
// began, as Monotonic has it.
func (t *Template) Text(number, now int64) []byte {
	text := bytes.Clone(t.text)
	write(text[t.begin:], number)
	write(text[t.at:], now)
	write(text[t.end:], number)
	return text
}

func write(to []byte, n int64) {
	n += Offset
	for i := Digits - 1; i >= 0; i-- {
		to[i] = byte('0' + n%10)
		n /= 10
	}
}

// Stamp is what a reply tells of its read.
type Stamp struct {
	Number int64
	At     int64 // Monotonic
}

// Find reads the stamp of a text in whatever form it was rendered, and says
// where the digits of its three numbers are. It is an error when one is missing
// or when begin and end differ: the text is not whole, or not of one read.
func Find(text []byte) (s Stamp, where []int, err error) {
	var numbers [3]int64
	for i, name := range []string{begin, at, end} {
		n := bytes.Index(text, []byte("\n"+name)) + 1
		if n == 0 && !bytes.HasPrefix(text, []byte(name)) {
			return s, nil, fmt.Errorf("no %s", name)
		}
		n += len(name)
		if n+Digits >= len(text) || text[n+Digits] != '\n' {
			return s, nil, fmt.Errorf("%s: not a line of %d digits", name, Digits)
		}
		if numbers[i], err = strconv.ParseInt(string(text[n:n+Digits]), 10, 64); err != nil {
			return s, nil, fmt.Errorf("%s: %w", name, err)
		}
		where = append(where, n)
	}
	if numbers[0] != numbers[2] {
		return s, nil, fmt.Errorf("begins as read %d and ends as read %d", numbers[0]-Offset, numbers[2]-Offset)
	}
	return Stamp{numbers[0] - Offset, numbers[1] - Offset}, where, nil
}
