package exposition

import (
	"bytes"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// parses asks expfmt, with the names that all Prometheus versions know.
// Prometheus's own parser is asked in the module in oracle/.
func parses(text []byte) error {
	p := expfmt.NewTextParser(model.LegacyValidation)
	_, err := p.TextToMetricFamilies(bytes.NewReader(text))
	return err
}
