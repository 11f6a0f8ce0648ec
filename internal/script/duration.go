package script

import (
	"errors"
	"math"
	"regexp"
	"strconv"
	"time"
)

const day = 24 * time.Hour

// prometheusUnits are the units of Prometheus's durations.
var prometheusUnits = map[string]time.Duration{
	"ms": time.Millisecond,
	"s":  time.Second,
	"m":  time.Minute,
	"h":  time.Hour,
	"d":  day,
	"w":  7 * day,
	"y":  365 * day,
}

var prometheusPart = regexp.MustCompile(`^([0-9]+)(ms|[smhdwy])`)

// parseSeconds parses whole seconds, or a duration in Go's format, above 0.
func parseSeconds(s string) (time.Duration, bool) {
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		return time.Duration(n) * time.Second, n > 0
	}
	d, err := time.ParseDuration(s)
	return d, err == nil && d > 0
}

// parseScrapeTime parses a duration in Go's or Prometheus's format.
func parseScrapeTime(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		d = parsePrometheus(s)
	}
	if d < time.Millisecond || d%time.Millisecond != 0 {
		return 0, errors.New("a time like 30s, 1m30s or 1d, in whole milliseconds")
	}
	return d, nil
}

// parsePrometheus parses a duration with Prometheus's units. It returns 0 for
// anything else, and for one that overflows.
func parsePrometheus(s string) (sum time.Duration) {
	for s != "" {
		part := prometheusPart.FindStringSubmatch(s)
		if part == nil {
			return 0
		}
		n, err := strconv.ParseInt(part[1], 10, 64)
		unit := prometheusUnits[part[2]]
		if err != nil || n > (math.MaxInt64-int64(sum))/int64(unit) {
			return 0
		}
		sum += time.Duration(n) * unit
		s = s[len(part[0]):]
	}
	return sum
}
