package display

import (
	"testing"
	"time"
)

func TestSpell(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second:            "0 s",
		0:                       "0 s",
		1999 * time.Millisecond: "1 s",
		time.Minute:             "1 min",
		200 * time.Second:       "3 min 20 s",
		2*time.Hour + 5*time.Minute + 59*time.Second: "2 h 5 min",
		97 * time.Hour: "4 d 1 h",
		48 * time.Hour: "2 d",
	} {
		if got := Spell(d); got != want {
			t.Errorf("spell(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestWholeSeconds(t *testing.T) {
	for d, want := range map[time.Duration]int{
		-time.Hour:       1,
		0:                1,
		1:                1,
		time.Second:      1,
		time.Second + 1:  2,
		10 * time.Second: 10,
	} {
		if got := WholeSeconds(d); got != want {
			t.Errorf("wholeSeconds(%v) = %d, want %d", d, got, want)
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"héllo wörld.stp": "héllo wörld.stp",
		"a\x00b\x1b[31m":  "a\uFFFDb\uFFFD[31m",
		"a\nb":            "a\uFFFDb",
		"\xff\xfe":        "\uFFFD\uFFFD",
		"a\u202eb":        "a\uFFFDb", // reverses the direction of the text
	} {
		if got := Printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
	if got := PrintableLines("a\tb\n\x1bc\n\n"); got != "a\tb\n\uFFFDc" {
		t.Errorf("printableLines = %q", got)
	}
}
