package app

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// blocked is a log whose reader stands still until it is released.
type blocked struct {
	release chan struct{}
	buf     bytes.Buffer
}

func (b *blocked) Write(p []byte) (int, error) {
	<-b.release
	return b.buf.Write(p)
}

func TestLogWriterNeverBlocks(t *testing.T) {
	out := &blocked{release: make(chan struct{})}
	w := newLogWriter(out)
	for i := range 3 * logQueue { // would hang if it blocked
		fmt.Fprintf(w, "line %d\n", i)
	}
	close(out.release)
	w.Close()
	<-w.done
	text := out.buf.String()
	if !strings.Contains(text, "line 0\n") || !strings.Contains(text, "lines of the log dropped") {
		t.Errorf("log begins %q", text[:min(len(text), 200)])
	}
	if n := strings.Count("\n"+text, "\nline "); n < logQueue || n > logQueue+2 {
		t.Errorf("%d lines were kept", n)
	}
}
