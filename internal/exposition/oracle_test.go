package exposition

import (
	"bytes"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// parses returns the error of expfmt, with the names that all Prometheus
// versions accept. The module in oracle/ tests against Prometheus's own parser.
func parses(text []byte) error {
	p := expfmt.NewTextParser(model.LegacyValidation)
	_, err := p.TextToMetricFamilies(bytes.NewReader(text))
	return err
}
