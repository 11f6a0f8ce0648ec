package scrape

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/textparse"
)

// parse parses a body as a Prometheus server does: with Prometheus's own
// parser, by the content type. With samples it returns the value of each
// series.
//
// The parser appends a newline to text, which must not overwrite the memory
// after it: hence the clip.
func parse(text []byte, contentType string, samples bool) (map[string]float64, error) {
	p, err := textparse.New(slices.Clip(text), contentType, nil, textparse.ParserOptions{})
	if err != nil {
		return nil, fmt.Errorf("content type %q: %w", contentType, err)
	}
	var all map[string]float64
	if samples {
		all = map[string]float64{}
	}
	n := 0
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if entry != textparse.EntrySeries {
			continue
		}
		n++
		if samples {
			series, _, v := p.Series()
			if math.IsNaN(v) {
				continue
			}
			all[string(series)] = v
		}
	}
	if n == 0 {
		return nil, errors.New("no sample")
	}
	return all, nil
}
