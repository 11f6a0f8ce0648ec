package script

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// ErrDirective tells that a script's header is wrong: a "stap-exporter:" line,
// or the options of a first line that names stap. It is wrapped with file, line
// and what is allowed.
var ErrInvalidHeader = errors.New("invalid header")

// Directives are what a script's header says about how to run and describe it,
// in comment lines of the form
//
//	// stap-exporter: keepalive=300 start-timeout=2m autostart=true runtime=bpf args="-g --suppress-handler-errors"
//	# stap-exporter: scrape-interval=1m scrape-timeout=30s
//	// stap-exporter: metric reads_total counter "Read calls, by thread."
//
// They win over flags; a zero field leaves the matter to the flags. Any number
// of lines, any number of KEY=VALUE in a line, each key and each metric once. A
// value with blanks stands in double quotes, in which \" is a quote, \\ a
// backslash and \n a newline; there are no other escapes.
type Directives struct {
	// how long after the last request the script is stopped, at least 1 s; 0:
	// never. nil: as --keepalive says
	Keepalive    *time.Duration
	StartTimeout time.Duration // above 0; 0: as --start-timeout says
	Autostart    *bool         // already part of Script.Autostart; nil: by the script's name
	// "auto", "kernel" or "bpf", already part of Script.Runtime; empty: not
	// given
	Runtime string
	Args    []string // args=, split into words, already part of Script.Options
	// for Prometheus, whole milliseconds (write it as "<n>ms"); 0: not given
	ScrapeInterval time.Duration
	ScrapeTimeout  time.Duration // the same; not above ScrapeInterval when that is given
	Metrics        []Metric      // in the order of the file, no name twice
	// numbers of lines that look like directives and are none, since the header
	// had ended before; worth a warning
	LateLines []int
}

// Metric is what a "metric NAME TYPE "help text"" line says.
type Metric struct {
	Name string // as Prometheus allows
	Type string // counter, gauge, histogram, summary or untyped
	Help string // UTF-8, unescaped: it may hold newlines, quotes and backslashes
	Line int    // where it stands
}

// keys are all directives of the form KEY=VALUE, in the order in which messages
// list them. Each sets its field, or says what is allowed, as the end of "want
// …".
var keys = []struct {
	name string
	set  func(h *header, value string) error
}{
	{"keepalive", func(h *header, v string) error {
		d, ok := parseSpan(v)
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
		d, ok := parseSpan(v)
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
		h.directives.ScrapeInterval, err = parseScrape(v)
		return err
	}},
	{"scrape-timeout", func(h *header, v string) (err error) {
		h.directives.ScrapeTimeout, err = parseScrape(v)
		return err
	}},
}

// line reads one directive line, from what follows its colon.
func (h *header) line(text string) {
	if !utf8.ValidString(text) {
		h.complain(h.number, errors.New("not valid UTF-8"))
		return
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return r != '\t' && unicode.IsControl(r) }); i >= 0 {
		h.complain(h.number, fmt.Errorf("control character %+q", []rune(text[i:])[0]))
		return
	}
	words, err := splitLine(text)
	switch {
	case err != nil:
		h.complain(h.number, err)
	case len(words) == 0:
		h.complain(h.number, fmt.Errorf("no directive: want %s", allowed()))
	case words[0] == "metric":
		h.metric(words[1:])
	default:
		for _, word := range words {
			h.key(word)
		}
	}
}

func (h *header) key(word string) {
	name, value, ok := strings.Cut(word, "=")
	for _, key := range keys {
		if !ok || key.name != name {
			continue
		}
		if !h.once(name) {
			return
		}
		if err := key.set(h, value); err != nil {
			h.complain(h.number, fmt.Errorf("%s=%q: want %w", name, value, err))
		}
		return
	}
	h.complain(h.number, fmt.Errorf("%q is unknown: want %s", word, allowed()))
}

// once tells whether the key, or metric, comes for the first time.
func (h *header) once(what string) bool {
	if n := h.lines[what]; n > 0 {
		h.complain(h.number, fmt.Errorf("%s is given twice, first in line %d", what, n))
		return false
	}
	h.lines[what] = h.number
	return true
}

func allowed() string {
	var b strings.Builder
	for _, key := range keys {
		b.WriteString(key.name + "=, ")
	}
	return b.String() + `or metric NAME TYPE "help text" in a line of its own`
}

var metricName = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)

func (h *header) metric(words []string) {
	types := []string{"counter", "gauge", "histogram", "summary", "untyped"}
	switch {
	case len(words) != 3:
		h.complain(h.number, errors.New(`metric: want metric NAME TYPE "help text", the text in double quotes`))
	case !metricName.MatchString(words[0]):
		h.complain(
			h.number,
			fmt.Errorf("metric name %q: want letters, digits, _ and :, not beginning with a digit", words[0]),
		)
	case !slices.Contains(types, words[1]):
		h.complain(h.number, fmt.Errorf("metric type %q: want one of %s", words[1], strings.Join(types, ", ")))
	case h.once("metric " + words[0]):
		h.directives.Metrics = append(h.directives.Metrics, Metric{
			Name: words[0],
			Type: words[1],
			Help: words[2],
			Line: h.number,
		})
	}
}

// parseSpan reads whole seconds, or a duration as Go writes it, above 0.
func parseSpan(s string) (time.Duration, bool) {
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		return time.Duration(n) * time.Second, n > 0
	}
	d, err := time.ParseDuration(s)
	return d, err == nil && d > 0
}

// parseScrape reads a duration as Go or Prometheus write it.
func parseScrape(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		d = parsePrometheus(s)
	}
	if d < time.Millisecond || d%time.Millisecond != 0 {
		return 0, errors.New("a time like 30s, 1m30s or 1d, in whole milliseconds")
	}
	return d, nil
}

var prometheusPart = regexp.MustCompile(`^([0-9]+)(ms|[smhdwy])`)

// parsePrometheus reads a duration with Prometheus's own units, too: d, w and y
// (of 365 days). It returns 0 for all others.
func parsePrometheus(s string) (sum time.Duration) {
	const day = 24 * time.Hour
	units := map[string]time.Duration{
		"ms": time.Millisecond,
		"s":  time.Second,
		"m":  time.Minute,
		"h":  time.Hour,
		"d":  day,
		"w":  7 * day,
		"y":  365 * day,
	}
	for s != "" {
		part := prometheusPart.FindStringSubmatch(s)
		if part == nil {
			return 0
		}
		n, err := strconv.ParseInt(part[1], 10, 64)
		unit := units[part[2]]
		if err != nil || n > (math.MaxInt64-int64(sum))/int64(unit) {
			return 0
		}
		sum += time.Duration(n) * unit
		s = s[len(part[0]):]
	}
	return sum
}
