package script

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// headerMax is how much of a file can be its header, in bytes.
const headerMax = 64 << 10

// ErrInvalidHeader means that a script's header is invalid: a "stap-exporter:"
// line, or the options of a first line that names stap. It is wrapped with
// file, line and what is allowed.
var ErrInvalidHeader = errors.New("invalid header")

// readHead returns the first headerMax bytes of the file at path. If the file
// was replaced since it was checked, the open neither waits for the writer of a
// FIFO nor makes a terminal the controlling one.
func readHead(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read header of %q: not a regular file", path)
	}
	head, err := io.ReadAll(io.LimitReader(f, headerMax))
	if err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	return head, nil
}

// header is the state of the parser.
type header struct {
	path       string
	number     int            // of the current line, from 1
	seen       map[string]int // the line of each key, and of each "metric NAME"
	directives Directives
	options    Options // of args=
	problems   []error
}

// applyHeader returns s with the settings in head, the beginning of its file.
// Executable becomes false if the first line names stap, Autostart may change,
// and Shebang, Options, Runtime and Directives are set. The result depends only
// on head, s.Executable, s.Autostart, and s.Path, which error texts name.
//
// The header is the first line, if it begins with #!, and all lines before the
// first that is neither blank nor a comment. Comments begin with // or # ("/*"
// ends the header); leading blanks and CR LF are allowed. Nothing past 64 KiB
// is read, and a line cut by that limit is ignored.
//
// The error, several joined, matches ErrInvalidHeader and names file, line and
// what is allowed. The result holds the valid lines all the same.
func applyHeader(s Script, head []byte) (Script, error) {
	if len(head) >= headerMax {
		head = head[:bytes.LastIndexByte(head[:headerMax], '\n')+1]
	}
	h := header{path: s.Path, seen: map[string]int{}}
	number, ended := 0, false
	for line := range bytes.Lines(head) {
		number++
		text := strings.TrimSpace(string(line))
		directive, found := directiveText(text)
		switch {
		case number == 1 && strings.HasPrefix(string(line), "#!"):
			h.number = 1
			h.parseFirstLine(&s, string(line))
		case found && ended:
			h.directives.LateLines = append(h.directives.LateLines, number)
		case found:
			h.number = number
			h.parseDirectives(directive)
		case withoutColon.MatchString(text) && !ended:
			h.fail(number, errors.New("missing colon: want // stap-exporter: KEY=VALUE"))
		case text != "" && !strings.HasPrefix(text, "//") && !strings.HasPrefix(text, "#"):
			ended = true
		}
	}
	h.finish(&s)
	return s, errors.Join(h.problems...)
}

// directiveText returns what follows "stap-exporter:" in a comment that begins
// with it. Letter case, and blanks before the colon, do not matter: a directive
// that is almost right must be refused, not ignored.
func directiveText(line string) (string, bool) {
	text, ok := strings.CutPrefix(line, "//")
	if !ok {
		text, ok = strings.CutPrefix(line, "#")
	}
	text = strings.TrimLeft(text, " \t")
	const name = "stap-exporter"
	if !ok || len(text) < len(name) || !strings.EqualFold(text[:len(name)], name) {
		return "", false
	}
	return strings.CutPrefix(strings.TrimLeft(text[len(name):], " \t"), ":")
}

// withoutColon matches a directive without its colon. In prose no word is
// followed by "=".
var withoutColon = regexp.MustCompile(`(?i)^(//|#)[ \t]*stap-exporter[ \t]+(metric[ \t]|[a-z-]+=)`)

// fail records an error of a line.
func (h *header) fail(line int, err error) {
	h.problems = append(h.problems, fmt.Errorf("%w: %s:%d: %w", ErrInvalidHeader, h.path, line, err))
}

// parseFirstLine parses the line that begins with #!.
func (h *header) parseFirstLine(s *Script, line string) {
	text, ok := shebangOfStap(line)
	if !ok || !s.Executable {
		return
	}
	s.Executable = false
	words, err := splitWords(text)
	if err == nil {
		s.Shebang = append([]string{}, words...) // not nil, even without options
		s.Options, s.Runtime, err = shebangOptions(words)
	}
	if err != nil {
		h.fail(1, fmt.Errorf("first line: %w", err))
	}
}

// finish checks what needs the whole header, and puts the result into s.
func (h *header) finish(s *Script) {
	d := &h.directives
	if s.Executable {
		for _, key := range []string{"args", "runtime"} {
			if n := h.seen[key]; n > 0 {
				h.fail(n, fmt.Errorf("%s= is for scripts that the exporter runs with stap: "+
					"put the options into this script's own stap command", key))
			}
		}
		d.Args, d.Runtime, h.options = nil, "", Options{}
	}
	if d.ScrapeInterval > 0 && d.ScrapeTimeout > d.ScrapeInterval {
		h.fail(h.seen["scrape-timeout"], fmt.Errorf(
			"scrape-timeout=%v is longer than scrape-interval=%v, which Prometheus does not accept",
			d.ScrapeTimeout,
			d.ScrapeInterval,
		))
	}
	s.Directives = *d
	s.Options = s.Options.join(h.options)
	if d.Runtime != "" {
		s.Runtime = d.Runtime
	}
	if d.Autostart != nil {
		s.Autostart = *d.Autostart
	}
}
