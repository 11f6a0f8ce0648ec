package script

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Directives are the settings in a script's header, in comment lines such as
//
//	// stap-exporter: keepalive=300 start-timeout=2m autostart=true runtime=bpf args="-g --suppress-handler-errors"
//	# stap-exporter: scrape-interval=1m scrape-timeout=30s
//	// stap-exporter: metric reads_total counter "Read calls, by thread."
//
// They override flags; a zero field leaves the setting to the flag. There may
// be any number of lines, and of KEY=VALUE in a line, but each key and each
// metric must occur once. A value with blanks must be in double quotes, in
// which \" is a quote, \\ a backslash and \n a newline; there are no other
// escapes.
type Directives struct {
	// Keepalive is how long after the last request the script is stopped, at
	// least 1 s; 0: never. nil: --keepalive applies.
	Keepalive    *time.Duration
	StartTimeout time.Duration // 0: --script.start-timeout applies
	Autostart    *bool         // also in Script.Autostart; nil: the script's name decides
	// Runtime is "auto", "kernel" or "bpf", also in Script.Runtime; empty: not
	// given.
	Runtime string
	Args    []string // args=, split into words, also in Script.Options
	// ScrapeInterval is for Prometheus, in whole milliseconds (write it as
	// "<n>ms"); 0: not given.
	ScrapeInterval time.Duration
	ScrapeTimeout  time.Duration // the same; at most ScrapeInterval if that is given
	Metrics        []Metric      // in the order of the file, each name once
	// LateLines are the numbers of lines that look like directives but come
	// after the end of the header. They have no effect, which deserves a
	// warning.
	LateLines []int
}

// Metric is a line metric NAME TYPE "help text".
type Metric struct {
	Name string // valid in Prometheus
	Type string // counter, gauge, histogram, summary or untyped
	Help string // UTF-8, unescaped: it may hold newlines, quotes and backslashes
	Line int    // its line number in the file
}

var metricName = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)

var metricTypes = []string{"counter", "gauge", "histogram", "summary", "untyped"}

// keys are all directives KEY=VALUE, in the order in which messages list them.
// set stores the value in its field, or returns what is allowed, as the end of
// "want …".
var keys = []struct {
	name string
	set  func(h *header, value string) error
}{
	{"keepalive", func(h *header, v string) error {
		d, ok := parseSeconds(v)
		if v == "never" {
			d, ok = 0, true
		} else if d < time.Second {
			ok = false
		}
		if !ok {
			return errors.New("whole seconds from 1, a time like 5m of at least 1s, or never")
		}
		h.directives.Keepalive = &d
		return nil
	}},
	{"start-timeout", func(h *header, v string) error {
		d, ok := parseSeconds(v)
		if !ok {
			return errors.New("whole seconds from 1, or a time like 2m")
		}
		h.directives.StartTimeout = d
		return nil
	}},
	{"autostart", func(h *header, v string) error {
		if v != "true" && v != "false" {
			return errors.New("true or false")
		}
		h.directives.Autostart = new(v == "true")
		return nil
	}},
	{"runtime", func(h *header, v string) error {
		if !slices.Contains([]string{"auto", "kernel", "bpf"}, v) {
			return errors.New("auto, kernel or bpf")
		}
		h.directives.Runtime = v
		return nil
	}},
	{"args", func(h *header, v string) error {
		words, err := splitWords(v)
		if err == nil {
			h.options, err = argsOptions(words)
		}
		if err != nil {
			return fmt.Errorf("options of stap: %w", err)
		}
		h.directives.Args = words
		return nil
	}},
	{"scrape-interval", func(h *header, v string) (err error) {
		h.directives.ScrapeInterval, err = parseScrapeTime(v)
		return err
	}},
	{"scrape-timeout", func(h *header, v string) (err error) {
		h.directives.ScrapeTimeout, err = parseScrapeTime(v)
		return err
	}},
}

// parseDirectives parses one directive line, from what follows its colon.
func (h *header) parseDirectives(text string) {
	if !utf8.ValidString(text) {
		h.fail(h.number, errors.New("not valid UTF-8"))
		return
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return r != '\t' && unicode.IsControl(r) }); i >= 0 {
		h.fail(h.number, fmt.Errorf("control character %+q", []rune(text[i:])[0]))
		return
	}
	words, err := splitLine(text)
	switch {
	case err != nil:
		h.fail(h.number, err)
	case len(words) == 0:
		h.fail(h.number, fmt.Errorf("no directive: want %s", allowed()))
	case words[0] == "metric":
		h.parseMetric(words[1:])
	default:
		for _, word := range words {
			h.parseKey(word)
		}
	}
}

// parseKey parses one KEY=VALUE.
func (h *header) parseKey(word string) {
	name, value, ok := strings.Cut(word, "=")
	for _, key := range keys {
		if !ok || key.name != name {
			continue
		}
		if !h.claim(name) {
			return
		}
		if err := key.set(h, value); err != nil {
			h.fail(h.number, fmt.Errorf("%s=%q: want %w", name, value, err))
		}
		return
	}
	h.fail(h.number, fmt.Errorf("%q is unknown: want %s", word, allowed()))
}

// parseMetric parses the words after "metric".
func (h *header) parseMetric(words []string) {
	if len(words) != 3 {
		h.fail(h.number, errors.New(`metric: want metric NAME TYPE "help text", the text in double quotes`))
		return
	}
	m := Metric{
		Name: words[0],
		Type: words[1],
		Help: words[2],
		Line: h.number,
	}
	switch {
	case !metricName.MatchString(m.Name):
		h.fail(
			h.number,
			fmt.Errorf("metric name %q: want letters, digits, _ and :, not beginning with a digit", m.Name),
		)
	case !slices.Contains(metricTypes, m.Type):
		h.fail(h.number, fmt.Errorf("metric type %q: want one of %s", m.Type, strings.Join(metricTypes, ", ")))
	case h.claim("metric " + m.Name):
		h.directives.Metrics = append(h.directives.Metrics, m)
	}
}

// claim reports whether the key, or metric, occurs for the first time. A second
// time is an error.
func (h *header) claim(what string) bool {
	if n := h.seen[what]; n > 0 {
		h.fail(h.number, fmt.Errorf("%s is given twice, first in line %d", what, n))
		return false
	}
	h.seen[what] = h.number
	return true
}

func allowed() string {
	var b strings.Builder
	for _, key := range keys {
		b.WriteString(key.name + "=, ")
	}
	return b.String() + `or metric NAME TYPE "help text" in a line of its own`
}
