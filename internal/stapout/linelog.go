package stapout

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// The rate at which a script's output is logged: a burst, then one line a
// second, at most about 86,000 lines a day. Capture keeps the last 64 KiB in
// any case.
const (
	logBurst  = 20          // lines
	logPeriod = time.Second // for each further line
)

// LineLog logs a child's lines at a bounded rate and counts the lines that it
// leaves out. The progress messages of stap -v are logged at debug level, the
// script's own lines at info level. Its methods may be called on nil and from
// any goroutine.
type LineLog struct {
	log *zap.Logger
	now func() time.Time

	mu      sync.Mutex
	full    time.Time // when the whole burst is available again; each line adds logPeriod
	dropped int       // lines left out since the last logged line
}

// NewLineLog returns a LineLog that may log its whole burst at once.
func NewLineLog(log *zap.Logger) *LineLog { return &LineLog{log: log, now: time.Now} }

// logLine is a line to log, and the number of lines left out before it.
type logLine struct {
	entry   *zapcore.CheckedEntry
	text    string
	dropped int
}

// take decides whether to log a line, given without its line end. It copies the
// line and does not block.
func (l *LineLog) take(line []byte) (logLine, bool) {
	if l == nil || len(bytes.TrimSpace(line)) == 0 {
		return logLine{}, false
	}
	level := zapcore.InfoLevel
	if mayBeNoise(line) && noiseLine.Match(line) {
		level = zapcore.DebugLevel
	}
	if !l.log.Core().Enabled(level) {
		return logLine{}, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if l.full.Before(now) {
		l.full = now
	}
	if l.full.Sub(now) > (logBurst-1)*logPeriod {
		l.dropped++
		return logLine{}, false
	}
	l.full = l.full.Add(logPeriod)
	out := logLine{entry: l.log.Check(level, "script output"), text: visible(line), dropped: l.dropped}
	l.dropped = 0
	return out, true
}

// write logs lines that take returned. It may block as long as the log does.
func (l *LineLog) write(lines []logLine) {
	for _, line := range lines {
		fields := []zap.Field{zap.String("line", line.text)}
		if line.dropped > 0 {
			fields = append(fields, zap.Int("lines_dropped", line.dropped))
		}
		line.entry.Write(fields...)
	}
}

// flush logs how many lines were left out since the last logged line.
func (l *LineLog) flush() {
	if l == nil {
		return
	}
	l.mu.Lock()
	n := l.dropped
	l.dropped = 0
	l.mu.Unlock()
	if n > 0 {
		l.log.Info("script output dropped", zap.Int("lines_dropped", n))
	}
}

// visible makes a line of a child's output fit for the log. It removes colours
// and trailing blanks, shows other control characters and invalid UTF-8 as
// \x1b, and bounds the length.
func visible(line []byte) string {
	var b strings.Builder
	rest := strings.TrimRight(ansi.ReplaceAllString(string(line), ""), " \r\t")
	for rest != "" {
		r, n := utf8.DecodeRuneInString(rest)
		switch {
		case b.Len() >= tailWidth:
			return b.String() + "…"
		case r == '\t':
			b.WriteString("    ")
		case r == utf8.RuneError && n == 1, r < utf8.RuneSelf && !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\x%02x`, rest[0])
		case !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteString(rest[:n])
		}
		rest = rest[n:]
	}
	return b.String()
}
