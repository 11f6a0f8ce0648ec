package app

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// blockedWriter blocks until it is released.
type blockedWriter struct {
	release chan struct{}
	buf     bytes.Buffer
}

func (b *blockedWriter) Write(p []byte) (int, error) {
	<-b.release
	return b.buf.Write(p)
}

func TestLogWriterNeverBlocks(t *testing.T) {
	out := &blockedWriter{release: make(chan struct{})}
	w := newLogWriter(out)
	for i := range 3 * logQueueLength { // would hang if it blocked
		fmt.Fprintf(w, "line %d\n", i)
	}
	close(out.release)
	w.Close()
	<-w.done
	text := out.buf.String()
	if !strings.Contains(text, "line 0\n") || !strings.Contains(text, "log lines dropped") {
		t.Errorf("log begins %q", text[:min(len(text), 200)])
	}
	if n := strings.Count("\n"+text, "\nline "); n < logQueueLength || n > logQueueLength+2 {
		t.Errorf("%d lines were kept", n)
	}
}
