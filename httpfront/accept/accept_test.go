package accept

import (
	"fmt"
	"testing"
)

func TestPrefersOpenMetrics(t *testing.T) {
	for _, c := range []struct {
		accept string
		want   bool
	}{
		{"", false},
		{"*/*", false},
		{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false},
		{"application/openmetrics-text", true},
		{"application/openmetrics-text; version=1.0.0", true},
		{"Application/OpenMetrics-Text; Version=\"1.0.0\"; charset=utf-8", true},
		{"application/openmetrics-text; version=0.0.1", false},
		{"application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", false},
		// Prometheus 2.42 and 3.
		{
			"application/openmetrics-text;version=1.0.0," +
				"application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5," +
				"*/*;q=0.1",
			true,
		},
		{
			"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6," +
				"application/openmetrics-text;version=0.0.1;q=0.5," +
				"text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3," +
				"*/*;q=0.2",
			true,
		},
		{
			"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7," +
				"application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3," +
				"*/*;q=0.2",
			true,
		},
		{"text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5", false},
		{"text/plain;version=1.0.0;q=0.9,application/openmetrics-text;version=1.0.0;q=0.5", true},
		{"application/openmetrics-text;q=0", false},
		{"application/openmetrics-text;q=0,*/*", false},
		{"text/plain;q=0,*/*", true},
		{"text/*;q=0.5,application/*", true},
		{"application/openmetrics-text, */*", true},
		{"application/openmetrics-text, text/plain", false},
		{"application/openmetrics-text;q=1.000,text/plain;q=0.999", true},
		{"application/openmetrics-text;q=2", false},
		{"application/openmetrics-text;q=0.5000", false},
		{"text/plain;x=\"a,application/openmetrics-text;q=1\";q=0.1", false},
		{"application/openmetrics-text;x=\"a,b;q=0\"", true},
		{"application/openmetrics-text ; q = 0.4 , text/plain ; q=0.3", true},
		{",;,==;q=,", false},
	} {
		if got := PrefersOpenMetrics([]byte(c.accept)); got != c.want {
			t.Errorf("PrefersOpenMetrics(%q) = %v", c.accept, got)
		}
	}
}

func TestAllowsGzip(t *testing.T) {
	for header, want := range map[string]bool{
		"":                           false,
		"identity":                   false,
		"deflate, br":                false,
		"gzip;q=0":                   false,
		"gzip;q=0.000":               false,
		"*;q=0":                      false,
		"gzip;q=0, *":                false,
		"gzip;q=x":                   false,
		"gzip":                       true,
		"GZIP":                       true,
		"x-gzip":                     true,
		"*":                          true,
		"deflate, gzip;q=0.1":        true,
		"br;q=1, gzip; q=0.8, *;q=0": true,
		"gzip,deflate":               true,
	} {
		if got := AllowsGzip([]byte(header)); got != want {
			t.Errorf("AllowsGzip(%q) = %v", header, got)
		}
	}
}

func TestPrefersHTML(t *testing.T) {
	const (
		firefox  = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
		chromium = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng," +
			"*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
		lynx       = "text/html, text/plain, text/sgml, text/css, */*;q=0.01"
		w3m        = "text/html, text/*;q=0.5, image/*, application/*"
		prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6," +
			"application/openmetrics-text;version=0.0.1;q=0.5," +
			"text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3," +
			"*/*;q=0.2"
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
		if got := PrefersHTML([]byte(accept)); got != want {
			t.Errorf("PrefersHTML(%q) = %v", accept, got)
		}
	}
}

func TestParseQuality(t *testing.T) {
	for value, want := range map[string]int{
		"0": 0, "1": 1000, "1.": 1000, "1.000": 1000, "0.5": 500, "0.05": 50, "0.005": 5, "0.123": 123,
	} {
		if got, ok := parseQuality([]byte(value)); got != want || !ok {
			t.Errorf("parseQuality(%q) = %d, %v, want %d", value, got, ok, want)
		}
	}
	for _, value := range []string{"", "2", "1.001", "0.1234", ".5", "-1", "0.x", "10", "0.00000"} {
		if got, ok := parseQuality([]byte(value)); ok {
			t.Errorf("parseQuality(%q) = %d", value, got)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	accept := []byte(
		"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6," +
			"text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
	)
	encoding := []byte("deflate, gzip;q=0.1")
	if n := testing.AllocsPerRun(100, func() {
		PrefersOpenMetrics(accept)
		PrefersHTML(accept)
		AllowsGzip(encoding)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// Whatever comes: no panic, and elements that are well formed.
func FuzzHeaders(f *testing.F) {
	f.Add("application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.3,*/*;q=0.2", "gzip;q=0.5,*")
	f.Add("a;x=\"\\", ";;q=\"")
	f.Fuzz(func(t *testing.T, accept, encoding string) {
		PrefersHTML([]byte(accept))
		PrefersOpenMetrics([]byte(accept))
		AllowsGzip([]byte(encoding))
		for e := range elements([]byte(accept)) {
			if e.quality < 0 || e.quality > fullQuality {
				t.Errorf("%q: quality %d", accept, e.quality)
			}
		}
	})
}

func Example() {
	prometheus := []byte("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2")
	fmt.Println(PrefersHTML(prometheus), PrefersOpenMetrics(prometheus))
	firefox := []byte("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
	fmt.Println(PrefersHTML(firefox), PrefersOpenMetrics(firefox))
	// Output:
	// false true
	// true false
}

func BenchmarkPrefersOpenMetrics(b *testing.B) {
	accept := []byte(
		"application/openmetrics-text;version=1.0.0;q=0.5," +
			"application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3," +
			"*/*;q=0.2",
	)
	for b.Loop() {
		PrefersOpenMetrics(accept)
	}
}
