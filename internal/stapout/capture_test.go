package stapout

import (
	"fmt"
	"strings"
	"testing"
)

func TestCaptureKeepsTheEndAndFollowsPasses(t *testing.T) {
	c := NewCapture(nil)
	for i := range 20000 {
		_, _ = c.Write(fmt.Appendf(nil, "line %d\n", i))
	}
	_, _ = c.Write([]byte("Pass 1: par"))
	if c.Pass() != 0 {
		t.Error("an unfinished line was parsed")
	}
	_, _ = c.Write([]byte("sed\nrest"))
	if c.Pass() != 2 {
		t.Error("a line written in two parts was not parsed")
	}
	text, before := c.Text()
	if len(text) > keepBytes || len(text) < keepBytes-20 {
		t.Errorf("%d bytes kept", len(text))
	}
	if first := fmt.Sprintf("line %d\n", before); !strings.HasPrefix(text, first) {
		t.Errorf("text begins %q, want %d lines before it", text[:20], before)
	}
	if !strings.HasSuffix(text, "line 19999\nPass 1: parsed\nrest") {
		t.Errorf("text ends %q", text[len(text)-40:])
	}
	_, _ = c.Write([]byte(strings.Repeat("y", 5*keepBytes)))
	if text, _ := c.Text(); len(text) > keepBytes || cap(c.kept) > 8*keepBytes {
		t.Errorf("%d bytes kept, capacity %d", len(text), cap(c.kept))
	}
}

// A script's endless output does not push out the error that ended the script.
func TestCaptureKeepsErrors(t *testing.T) {
	c := NewCapture(nil)
	_, _ = c.Write([]byte("one\nERROR: probe overhead exceeded threshold\n"))
	for range 2000 {
		_, _ = c.Write([]byte(strings.Repeat("flood ", 20) + "\n"))
	}
	text, before := c.Text()
	if !strings.HasPrefix(text, "ERROR: probe overhead exceeded threshold\nflood ") {
		t.Errorf("text begins %q", text[:80])
	}
	if all := before + strings.Count(text, "\n"); all != 2002 {
		t.Errorf("%d lines in all, want 2002", all)
	}
	if remedy := FindRemedy(text); !strings.Contains(remedy, "half of a CPU") {
		t.Errorf("remedy %q", remedy)
	}
}
