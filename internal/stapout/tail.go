package stapout

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// The bounds of a useful tail.
const (
	tailLines = 12
	tailBytes = 2 << 10
	tailWidth = 300 // bytes of a line
)

var (
	// A terminal control sequence, such as a colour.
	ansi = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]")

	// What stap prints also when nothing is wrong. "Copy failed" of stapconf
	// concerns stap's own cache, which -m disables.
	noiseLine = regexp.MustCompile(
		`^Pass [1-5]: (parsed|analyzed|translated|compiled|using cached|starting run|pass skipped|run completed)` +
			`|^Tip: |^[a-z0-9_]+\.[kb]o$|^WARNING: Kernel function symbol table missing` +
			`|^Try again with |^Keeping temporary directory|^Copy failed \(".*/stapconf_`,
	)

	errorLine = regexp.MustCompile(
		`(?i)\berror\b|^WARNING: |^Pass [1-5]: .*failed|^Checking ".*" failed` +
			`|^panic: |not permitted|denied|No such file`,
	)
)

// UsefulTail reduces a noisy output to at most a dozen lines: first stap's
// errors with their indented lines, then, while there is room, the last lines.
// before is the number of lines before text. When lines are left out, one more
// line reports how many.
func UsefulTail(text string, before int) []string {
	var lines []string
	leftOut := before
	for line := range strings.Lines(text) {
		line = Clean(line)
		if line == "" {
			continue
		}
		if noiseLine.MatchString(line) {
			leftOut++
			continue
		}
		lines = append(lines, line)
	}
	take := make([]bool, len(lines))
	taken, size := 0, 0
	pick := func(i int) {
		if !take[i] && taken < tailLines && size+len(lines[i]) <= tailBytes {
			take[i] = true
			taken++
			size += len(lines[i]) + 1
		}
	}
	inError := false
	for i, line := range lines {
		indented := strings.HasPrefix(line, " ")
		inError = errorLine.MatchString(line) || inError && indented
		if inError {
			pick(i)
		}
	}
	for i := range slices.Backward(lines) {
		pick(i)
	}
	tail := make([]string, 0, taken+1)
	for i, line := range lines {
		if take[i] {
			tail = append(tail, line)
		}
	}
	if leftOut += len(lines) - taken; leftOut > 0 && taken > 0 {
		tail = append(tail, fmt.Sprintf("(%d more lines left out)", leftOut))
	}
	return tail
}

// Clean makes a line of a child's output fit for a log or a page. It removes
// colours, characters that cannot be printed and trailing blanks, replaces
// invalid UTF-8, and bounds the length.
func Clean(line string) string {
	line = strings.ReplaceAll(ansi.ReplaceAllString(line, ""), "\t", "    ")
	line = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, line)
	line = strings.TrimRight(line, " ")
	if len(line) > tailWidth {
		line = line[:tailWidth] + "…"
	}
	return strings.ToValidUTF8(line, "�")
}

// mayBeNoise reports whether noiseLine can match a line. It is cheap: a script
// that floods its output must cost little.
func mayBeNoise(line []byte) bool {
	return len(line) > 0 && bytes.IndexByte([]byte("PTWKC"), line[0]) >= 0 ||
		bytes.HasSuffix(line, []byte(".ko")) || bytes.HasSuffix(line, []byte(".bo"))
}
