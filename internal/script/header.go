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

// headerMax is how much of a file is searched for its header, in bytes.
const headerMax = 64 << 10

// readHead returns the first headerMax bytes of the file at path. The open
// neither waits for a FIFO's writer nor touches a terminal, whatever came to be
// there since somebody looked.
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

// withHeader returns s with what the beginning of its file says: Executable is
// narrowed to programs that are not stap's, Autostart may change, and Shebang,
// Options, Runtime and Directives are set. It goes by head, s.Executable,
// s.Autostart, and s.Path for the text of errors; it reads nothing else.
//
// The header is the first line, if it begins with #!, and the lines up to the
// first one that is neither blank nor a comment. Comments begin with // or #
// ("/*" ends the header); leading blanks and CR LF do no harm. Past 64 KiB
// nothing is looked at, and a line that this cuts is none.
//
// The error, several joined, names file and line and what is allowed, and
// matches ErrDirective. What the good lines said is in the result all the same.
func withHeader(s Script, head []byte) (Script, error) {
	if len(head) >= headerMax {
		head = head[:bytes.LastIndexByte(head[:headerMax], '\n')+1]
	}
	h := header{path: s.Path, lines: map[string]int{}}
	number, ended := 0, false
	for line := range bytes.Lines(head) {
		number++
		text := strings.TrimSpace(string(line))
		directive, found := directiveText(text)
		switch {
		case number == 1 && strings.HasPrefix(string(line), "#!"):
			h.number = 1
			h.first(&s, string(line))
		case found && ended:
			h.directives.LateLines = append(h.directives.LateLines, number)
		case found:
			h.number = number
			h.line(directive)
		case withoutColon.MatchString(text) && !ended:
			h.complain(number, errors.New("colon forgotten: want // stap-exporter: KEY=VALUE"))
		case text != "" && !strings.HasPrefix(text, "//") && !strings.HasPrefix(text, "#"):
			ended = true
		}
	}
	h.finish(&s)
	return s, errors.Join(h.problems...)
}

// directiveText returns what follows "stap-exporter:" in a comment line that
// begins so. Letter case and blanks before the colon do not matter: a directive
// that is almost right had better be refused than overlooked.
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

// withoutColon matches a directive whose colon was forgotten; in prose no word
// is followed by "=".
var withoutColon = regexp.MustCompile(`(?i)^(//|#)[ \t]*stap-exporter[ \t]+(metric[ \t]|[a-z-]+=)`)

// header is a header being read.
type header struct {
	path       string
	number     int            // of the line in hand, from 1
	lines      map[string]int // where each key, and each "metric NAME", was given
	directives Directives
	options    Options // of args=
	problems   []error
}

func (h *header) complain(line int, err error) {
	h.problems = append(h.problems, fmt.Errorf("%w: %s:%d: %w", ErrInvalidHeader, h.path, line, err))
}

// first reads the line that begins with #!.
func (h *header) first(s *Script, line string) {
	text, ok := shebangStap(line)
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
		h.complain(1, fmt.Errorf("first line: %w", err))
	}
}

// finish checks what takes the whole header, and puts the result into s.
func (h *header) finish(s *Script) {
	d := &h.directives
	if s.Executable {
		for _, key := range []string{"args", "runtime"} {
			if n := h.lines[key]; n > 0 {
				h.complain(
					n,
					fmt.Errorf(
						"%s= is for scripts that the exporter hands to stap; a program that runs stap itself has the options in its own stap command",
						key,
					),
				)
			}
		}
		d.Args, d.Runtime, h.options = nil, "", Options{}
	}
	if d.ScrapeInterval > 0 && d.ScrapeTimeout > d.ScrapeInterval {
		h.complain(
			h.lines["scrape-timeout"],
			fmt.Errorf(
				"scrape-timeout=%v is longer than scrape-interval=%v: Prometheus takes no such target",
				d.ScrapeTimeout,
				d.ScrapeInterval,
			),
		)
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
