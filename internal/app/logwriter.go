package app

import (
	"bytes"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

const (
	logQueue = 1024            // lines that wait for a reader of the log
	logFlush = 2 * time.Second // that the last lines may take at the end
)

// logWriter writes the log in a goroutine of its own, so that a log that nobody
// reads (a full pipe) holds up neither scripts nor requests nor the end: lines
// that find no room are dropped, and counted in the next line that does.
// Write may be called from any goroutine, Close once.
type logWriter struct {
	out        io.Writer
	lines      chan []byte
	dropped    atomic.Uint64
	stop, done chan struct{}
}

func newLogWriter(out io.Writer) *logWriter {
	w := &logWriter{
		out:   out,
		lines: make(chan []byte, logQueue),
		stop:  make(chan struct{}),
		done:  make(chan struct{}),
	}
	go w.run()
	return w
}

func (w *logWriter) run() {
	defer close(w.done)
	for {
		select {
		case line := <-w.lines:
			w.put(line)
		case <-w.stop:
			for {
				select {
				case line := <-w.lines:
					w.put(line)
				default:
					return
				}
			}
		}
	}
}

func (w *logWriter) put(line []byte) {
	if n := w.dropped.Swap(0); n > 0 {
		fmt.Fprintf(w.out, "stap-exporter: %d lines of the log dropped, nobody read them in time\n", n)
	}
	_, _ = w.out.Write(line) // there is nobody to tell
}

// Write takes a copy of the line. It never blocks and never fails.
func (w *logWriter) Write(line []byte) (int, error) {
	select {
	case w.lines <- bytes.Clone(line):
	default:
		w.dropped.Add(1)
	}
	return len(line), nil
}

// Close writes what waits, for a bounded time. What is written afterwards is
// lost.
func (w *logWriter) Close() {
	close(w.stop)
	select {
	case <-w.done:
	case <-time.After(logFlush):
	}
}
