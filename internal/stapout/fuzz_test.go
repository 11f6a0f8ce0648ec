package stapout

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// FuzzCapture is a child that writes any bytes in pieces of any size. The
// result does not depend on the pieces, is bounded, and is fit for a log and a
// page.
func FuzzCapture(f *testing.F) {
	for _, text := range []string{
		"Pass 1: parsed user script and 487 library scripts\nPass 2: analyzed script\nPass 3: translated\n" +
			"Pass 4: compiled\nPass 5: starting run.\nPass 5: run completed\n",
		"\x1b[31m\x1b[1mERROR:\x1b[0m probe overhead (1 cycles) exceeded threshold\n" +
			"WARNING: Number of errors: 1, skipped probes: 0\n",
		"semantic error: no match\n   at: operator '<'\n\tsource: probe x\n\n" +
			"Pass 2: analysis failed.  [man error::pass2]\nTip: x\nTry again with another '-v' option.\n",
		"\xff\xfe\x00a\u202eb\r\n" + strings.Repeat("x", 2*maxLine) + "\nno end",
		strings.Repeat("a line without meaning\n", 20) + "a.c:1: error: task_work_cancel\nmake: *** x\n",
	} {
		f.Add([]byte(text), 1)
		f.Add([]byte(text), 7)
	}
	f.Fuzz(func(t *testing.T, raw []byte, size int) {
		size = min(max(size, 1), 64<<10)
		whole := NewCapture(nil)
		now := time.Unix(1000, 0)
		logged := 0
		log := NewLineLog(zap.New(zapcore.NewCore(
			zapcore.NewJSONEncoder(zapcore.EncoderConfig{}),
			zapcore.AddSync(counter{&logged}),
			zap.DebugLevel,
		)))
		log.now = func() time.Time { return now }
		pieces := NewCapture(log)
		_, _ = whole.Write(raw)
		pass := 0
		for rest := raw; len(rest) > 0; {
			n := min(size, len(rest))
			_, _ = pieces.Write(rest[:n])
			rest = rest[n:]
			if p := pieces.Pass(); p < pass || p > PassLoad {
				t.Fatalf("pass %d after %d", p, pass)
			} else {
				pass = p
			}
		}
		pieces.Flush()
		if whole.Pass() != pass {
			t.Errorf("pass %d at once, %d in pieces of %d", whole.Pass(), pass, size)
		}
		if logged > logBurst+1 {
			t.Errorf("%d lines logged without a pause", logged)
		}
		text, before := pieces.Text()
		if len(raw) <= keepBytes {
			if w, b := whole.Text(); text != w || before != b || text != string(raw) || b != 0 {
				t.Errorf("text depends on the pieces, or is incomplete: %d and %d lines before", before, b)
			}
		}
		if len(text) > keepBytes+keepErrors*(maxLine+1) || before < 0 {
			t.Errorf("%d bytes kept, %d lines before", len(text), before)
		}
		tail := UsefulTail(text, before)
		if len(tail) > tailLines+1 {
			t.Errorf("a tail of %d lines", len(tail))
		}
		for _, line := range tail {
			if len(line) > tailWidth+2*len("…") || !utf8.ValidString(line) ||
				strings.ContainsFunc(line, unicode.IsControl) {
				t.Errorf("line %q", line)
			}
		}
		for line := range strings.Lines(text) {
			v := visible([]byte(line[:min(len(line), maxLine)]))
			if len(v) > tailWidth+10+len("…") || !utf8.ValidString(v) ||
				strings.ContainsFunc(v, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("for the log: %q", v)
			}
		}
		FindRemedy(text)
	})
}

// counter counts the writes to it.
type counter struct{ n *int }

func (c counter) Write(p []byte) (int, error) {
	*c.n++
	return len(p), nil
}
