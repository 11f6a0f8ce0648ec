// Package body makes the text of the benchmarks' stand-in scripts, and finds in
// a reply the number and the time of the read that made it. Server and load
// program both use it. They run on one machine, so they share its monotonic
// clock.
package body

import (
	"bytes"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// A text begins and ends with the number of its read, so a truncated or mixed
// text is detected. Numbers are written with an offset, in a fixed width: a new
// text is a copy with other digits.
const (
	Offset = 1_000_000_000_000_000 // of numbers and nanoseconds; enough for 100 days of the latter
	Digits = 16
	begin  = "bench_begin "
	at     = "bench_read_nanoseconds "
	end    = "bench_end "
)

// Metric is the name of the metric that fills a text, for the header directive
// with its type.
const Metric = "count"

// Monotonic returns the machine's monotonic clock, in nanoseconds.
func Monotonic() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // fails for unknown clocks only
	return t.Nano()
}

// Template is a text of one size.
type Template struct {
	text           []byte
	begin, at, end int // offsets of the digits
}

// NewTemplate returns a text of about size bytes, or of its three numbers alone
// if that is more.
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

// Samples returns the number of samples in the text.
func (t *Template) Samples() int { return bytes.Count(t.text, []byte("\n")) }

// Text returns a new copy with the number of the read, and the time of its
// beginning as Monotonic returns it.
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

// Stamp identifies the read of a reply.
type Stamp struct {
	Number int64
	At     int64 // Monotonic
}

// Find returns the stamp of a text in any format, and the offsets of the digits
// of its three numbers. An error means that a number is missing, or that the
// first and the last differ: the text is truncated, or not of one read.
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
