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

// How much of a script's output is logged: a burst, then a line a second, so at
// most about 86,000 lines a day. The last 64 KiB are kept in any case.
const (
	logBurst  = 20
	logPeriod = time.Second // in which one more line may be logged
)

// LineLog passes a child's lines on to the log, as many as the rate allows, and
// counts the others. What stap -v says about its passes is for debugging,
// everything else is the script's own and told at info. Its methods may be
// called on nil and from any goroutine.
type LineLog struct {
	log *zap.Logger
	now func() time.Time

	mu      sync.Mutex
	full    time.Time // when all of the burst is there again; each line moves it by logPeriod
	leftOut int       // lines since the last one that was logged
}

// NewLineLog returns a LineLog with its whole burst.
func NewLineLog(log *zap.Logger) *LineLog { return &LineLog{log: log, now: time.Now} }

// logLine is a line that is to be logged.
type logLine struct {
	entry   *zapcore.CheckedEntry
	text    string
	leftOut int
}

// take decides about one line, without its end, and returns what to log, if
// anything. It copies the line.
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
		l.leftOut++
		return logLine{}, false
	}
	l.full = l.full.Add(logPeriod)
	out := logLine{entry: l.log.Check(level, "script output"), text: visible(line), leftOut: l.leftOut}
	l.leftOut = 0
	return out, true
}

// write logs what take gave. It may block as long as the log does.
func (l *LineLog) write(lines []logLine) {
	for _, line := range lines {
		fields := []zap.Field{zap.String("line", line.text)}
		if line.leftOut > 0 {
			fields = append(fields, zap.Int("left_out", line.leftOut))
		}
		line.entry.Write(fields...)
	}
}

// flush logs how many lines were left out at the end.
func (l *LineLog) flush() {
	if l == nil {
		return
	}
	l.mu.Lock()
	n := l.leftOut
	l.leftOut = 0
	l.mu.Unlock()
	if n > 0 {
		l.log.Info("script output left out", zap.Int("left_out", n))
	}
}

// visible makes a line of a child's output fit for the log: no colours, other
// control characters and bytes that are no UTF-8 shown as \x1b, bounded length,
// no blanks at its end.
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
