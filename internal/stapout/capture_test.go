package stapout

import (
	"fmt"
	"strings"
	"testing"
)

func TestParsePass(t *testing.T) {
	for line, want := range map[string]int{
		"Pass 1: parsed user script and 69 library scripts using 26548virt kb, in 20usr/20sys/39real ms.": 2,
		"Pass 3: pass skipped for stapbpf runtime in 0usr/0sys/0real ms.":                                 4,
		`Pass 4: compiled C into "m.ko" in 1usr/2sys/3real ms.`:                                           5,
		`Pass 4: using cached /root/.systemtap/cache/x.ko`:                                                5,
		"Pass 5: starting run.":                           PassLoad,
		"Pass 5: run completed in 10usr/20sys/30real ms.": 0,
		"Pass 2: analysis failed.  [man error::pass2]":    0,
		"Pass 9: x":           0,
		"Pass":                0,
		"Pass 1":              0,
		"":                    0,
		"WARNING: Pass 1: no": 0,
	} {
		if got := parsePass(line); got != want {
			t.Errorf("parsePass(%q) is %d, want %d", line, got, want)
		}
	}
}

func TestOutputKeepsTheEndAndFollowsPasses(t *testing.T) {
	o := NewCapture(nil)
	for i := range 20000 {
		_, _ = o.Write(fmt.Appendf(nil, "line %d\n", i))
	}
	_, _ = o.Write([]byte("Pass 1: par"))
	if o.Pass() != 0 {
		t.Error("half a line was read")
	}
	_, _ = o.Write([]byte("sed\nrest"))
	if o.Pass() != 2 {
		t.Error("a line in two parts was not read")
	}
	text, before := o.Text()
	if len(text) > keepBytes || len(text) < keepBytes-20 {
		t.Errorf("%d bytes are kept", len(text))
	}
	if first := fmt.Sprintf("line %d\n", before); !strings.HasPrefix(text, first) {
		t.Errorf("it begins %q, but %d lines came before", text[:20], before)
	}
	if !strings.HasSuffix(text, "line 19999\nPass 1: parsed\nrest") {
		t.Errorf("it ends %q", text[len(text)-40:])
	}
	_, _ = o.Write([]byte(strings.Repeat("y", 5*keepBytes)))
	if text, _ := o.Text(); len(text) > keepBytes || cap(o.kept) > 8*keepBytes {
		t.Errorf("%d bytes are kept in %d", len(text), cap(o.kept))
	}
}

// A script that prints without end and then dies: what killed it is not pushed
// out by what it printed.
func TestOutputKeepsTheReason(t *testing.T) {
	o := NewCapture(nil)
	_, _ = o.Write([]byte("one\nERROR: probe overhead exceeded threshold\n"))
	for range 2000 {
		_, _ = o.Write([]byte(strings.Repeat("flood ", 20) + "\n"))
	}
	text, before := o.Text()
	if !strings.HasPrefix(text, "ERROR: probe overhead exceeded threshold\nflood ") {
		t.Errorf("text begins %q", text[:80])
	}
	if all := before + strings.Count(text, "\n"); all != 2002 {
		t.Errorf("%d lines in all", all)
	}
	if mend := FindRemedy(text); !strings.Contains(mend, "half of a processor") {
		t.Errorf("mend %q", mend)
	}
}
