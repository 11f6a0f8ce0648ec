package stapout

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

const (
	tailLines = 12
	tailBytes = 2 << 10
	tailWidth = 300 // bytes of one line
)

var (
	ansi = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]")

	// What stap says when all is well, or always; "Copy failed" of stapconf is
	// about its own cache, which -m switches off.
	noiseLine = regexp.MustCompile(
		`^Pass [1-5]: (parsed|analyzed|translated|compiled|using cached|starting run|pass skipped|run completed)` +
			`|^Tip: |^[a-z0-9_]+\.[kb]o$|^WARNING: Kernel function symbol table missing|^Try again with |^Keeping temporary directory|^Copy failed \(".*/stapconf_`,
	)

	errorLine = regexp.MustCompile(
		`(?i)\berror\b|^WARNING: |^Pass [1-5]: .*failed|^Checking ".*" failed|^panic: |not permitted|denied|No such file`,
	)
)

// UsefulTail makes a noisy output into at most a dozen lines: stap's errors
// with the indented lines that belong to them, from the first on, and the last
// lines where room is left. before is the number of lines that came before
// text. The last line counts what was left out.
func UsefulTail(text string, before int) []string {
	var lines []string
	left := before
	for line := range strings.Lines(text) {
		line = Clean(line)
		if line == "" {
			continue
		}
		if noiseLine.MatchString(line) {
			left++
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
	if left += len(lines) - taken; left > 0 && taken > 0 {
		tail = append(tail, fmt.Sprintf("(%d more lines left out)", left))
	}
	return tail
}

// Clean makes a line of a child's output fit for a log or a page: no colours,
// no control characters nor others that are not printed, valid UTF-8, bounded
// length, no blanks at its end.
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

// mayBeNoise is a cheap look before noiseLine: a script that floods its output
// costs little.
func mayBeNoise(line []byte) bool {
	return len(line) > 0 && bytes.IndexByte([]byte("PTWKC"), line[0]) >= 0 || bytes.HasSuffix(line, []byte(".ko")) ||
		bytes.HasSuffix(line, []byte(".bo"))
}
