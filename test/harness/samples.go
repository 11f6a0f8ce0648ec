package harness

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"regexp"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Gunzip decompresses a body.
func Gunzip(body []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(body[len(body)-4:]) // RFC 1952, 2.3.1: ISIZE
	var out bytes.Buffer
	out.Grow(min(int(size), 64<<20) + bytes.MinRead)
	_, err = out.ReadFrom(z)
	return out.Bytes(), err
}

var unknownType = regexp.MustCompile(`(?m)^(# TYPE \w+) unknown$`)

// ParseSamples parses a page with the parser that most readers of the text
// format use, and returns its samples by SeriesKey. With a script it takes the
// page of all scripts, and returns the samples of that script without their
// label script.
func ParseSamples(body []byte, script string) (map[string]float64, error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	// expfmt knows this type by another name than OpenMetrics.
	families, err := parser.TextToMetricFamilies(bytes.NewReader(unknownType.ReplaceAll(body, []byte("$1 untyped"))))
	if err != nil {
		return nil, err
	}
	samples := map[string]float64{}
	for name, family := range families {
		for _, m := range family.GetMetric() {
			labels := labelsOf(m)
			if labels["script"] != script || script != "" && strings.HasPrefix(name, "stap_exporter_") {
				continue
			}
			delete(labels, "script")
			key := SeriesKey(name, labels)
			if _, twice := samples[key]; twice {
				return nil, fmt.Errorf("%s is there twice", key)
			}
			samples[key] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
		}
	}
	return samples, nil
}

func labelsOf(m *dto.Metric) map[string]string {
	labels := map[string]string{}
	for _, l := range m.GetLabel() {
		labels[l.GetName()] = l.GetValue()
	}
	return labels
}

// SeriesKey returns a text that is the same for the same name and labels.
func SeriesKey(name string, labels map[string]string) string {
	return fmt.Sprintf("%s%v", name, labels) // fmt sorts the keys
}
