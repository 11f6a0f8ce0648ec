package exposition

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// outcome summarizes what Sanitize did: "bad-value" for a dropped line,
// "+escape" for a repair, "bad-value*2" for two of them.
func outcome(p *Page) string {
	var words []string
	add := func(word string, n int) {
		if n > 1 {
			word = fmt.Sprintf("%s*%d", word, n)
		}
		if n > 0 {
			words = append(words, word)
		}
	}
	for _, r := range Reasons() {
		add(r.String(), p.Dropped[r])
	}
	for _, m := range Repairs() {
		add("+"+m.String(), p.Repaired[m])
	}
	return strings.Join(words, " ")
}

// assertSound fails the test when a page breaks a promise that holds for every
// page.
func assertSound(t *testing.T, p *Page) {
	t.Helper()
	if err := parses(p.Text()); err != nil {
		t.Errorf("the page does not parse: %v\n%q", err, p.Text())
	}
	again := Sanitize(bytes.Clone(p.Text()), Options{})
	if !bytes.Equal(again.Text(), p.Text()) || outcome(again) != "" || again.Samples != p.Samples ||
		again.Families != p.Families {
		t.Errorf(
			"the page is not valid for Sanitize itself: %s, %d and %d samples, %d and %d families\n%q\nbecame\n%q",
			outcome(again),
			p.Samples,
			again.Samples,
			p.Families,
			again.Families,
			p.Text(),
			again.Text(),
		)
	}
	if (p.Problems() > 0) != (p.First != nil) {
		t.Errorf("%d problems, but the first is %v", p.Problems(), p.First)
	}
	if om := p.OpenMetrics(); !bytes.HasSuffix(om, []byte("# EOF\n")) || p.Samples != samplesIn(om) {
		t.Errorf("%d samples became\n%s", p.Samples, om)
	}
}

// samplesIn counts the lines that are neither comments nor blank.
func samplesIn(text []byte) int {
	n := 0
	for line := range bytes.Lines(text) {
		if line = bytes.TrimLeft(line, " \t"); line[0] != '#' && line[0] != '\n' {
			n++
		}
	}
	return n
}
