package httpfront

import "testing"

func TestPrefersHTML(t *testing.T) {
	const (
		firefox    = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
		chromium   = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
		lynx       = "text/html, text/plain, text/sgml, text/css, */*;q=0.01"
		w3m        = "text/html, text/*;q=0.5, image/*, application/*"
		prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
	)
	for accept, want := range map[string]bool{
		firefox:                             true,
		chromium:                            true,
		lynx:                                true,
		w3m:                                 true,
		prometheus:                          false,
		"":                                  false,
		"*/*":                               false,
		"text/*":                            false,
		"text/plain":                        false,
		"text/html":                         true,
		"TEXT/HTML ; Q=1":                   true,
		"text/html;q=0":                     false,
		"text/html;q=0.000":                 false,
		"text/html;q=0.001":                 true,
		"text/html;q=high":                  false,
		"text/html;q=0.5, */*;q=0.8":        false,
		"text/html;q=0.5, text/plain":       false,
		"text/html, text/plain;q=0.9":       true,
		"text/plain, text/html":             false,
		"text/html, text/plain":             true,
		"text/html;level=1;q=0.4, text/*":   false,
		"text/htmlx, application/text/html": false,
		", ,;q=1,=":                         false,
	} {
		if got := prefersHTML([]byte(accept)); got != want {
			t.Errorf("prefersHTML(%q) = %v", accept, got)
		}
	}
}

func TestParseQuality(t *testing.T) {
	for value, want := range map[string]int{
		"0": 0, "1": 1000, "1.": 1000, "1.000": 1000, "0.5": 500, "0.05": 50, "0.005": 5, "0.123": 123,
		"": 0, "2": 0, "1.001": 0, "0.1234": 0, ".5": 0, "-1": 0, "0.x": 0, "10": 0,
	} {
		if got := parseQuality([]byte(value)); got != want {
			t.Errorf("parseQuality(%q) = %d, want %d", value, got, want)
		}
	}
}
