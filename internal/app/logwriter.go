package app

import (
	"bytes"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

const (
	logQueueLength  = 1024            // lines
	logFlushTimeout = 2 * time.Second // for the last lines, at the end
)

// logWriter writes the log in a goroutine of its own, so that a log that nobody
// reads, such as a full pipe, delays neither scripts nor requests nor the end.
// Lines that do not fit into the queue are dropped; the next line that fits
// comes after their number. Write may be called from any goroutine, Close once.
type logWriter struct {
	out        io.Writer
	lines      chan []byte
	dropped    atomic.Uint64
	stop, done chan struct{}
}

func newLogWriter(out io.Writer) *logWriter {
	w := &logWriter{
		out:   out,
		lines: make(chan []byte, logQueueLength),
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
		fmt.Fprintf(w.out, "stap-exporter: %d log lines dropped, the reader of the log was too slow\n", n)
	}
	_, _ = w.out.Write(line) // there is no other place to report an error
}

// Write copies the line. It never blocks and never fails.
func (w *logWriter) Write(line []byte) (int, error) {
	select {
	case w.lines <- bytes.Clone(line):
	default:
		w.dropped.Add(1)
	}
	return len(line), nil
}

// Close writes the queue, for at most logFlushTimeout. Later lines are lost.
func (w *logWriter) Close() {
	close(w.stop)
	select {
	case <-w.done:
	case <-time.After(logFlushTimeout):
	}
}
