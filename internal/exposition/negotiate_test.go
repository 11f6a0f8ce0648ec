package exposition

import "testing"

func TestNegotiate(t *testing.T) {
	const om, text = FormatOpenMetrics, FormatText
	tests := []struct {
		accept string
		want   Format
	}{
		{"", text},
		{"*/*", text},
		{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", text},
		{"application/openmetrics-text", om},
		{"application/openmetrics-text; version=1.0.0", om},
		{"Application/OpenMetrics-Text; Version=\"1.0.0\"; charset=utf-8", om},
		{"application/openmetrics-text; version=0.0.1", text},
		{"application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", text},
		// Prometheus 2.42 and 3.
		{
			"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
			om,
		},
		{
			"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
			om,
		},
		{
			"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
			om,
		},
		{"text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5", text},
		{"text/plain;version=1.0.0;q=0.9,application/openmetrics-text;version=1.0.0;q=0.5", om},
		{"application/openmetrics-text;q=0", text},
		{"application/openmetrics-text;q=0,*/*", text},
		{"text/plain;q=0,*/*", om},
		{"text/*;q=0.5,application/*", om},
		{"application/openmetrics-text, */*", om},
		{"application/openmetrics-text, text/plain", text},
		{"application/openmetrics-text;q=1.000,text/plain;q=0.999", om},
		{"application/openmetrics-text;q=2", text},
		{"application/openmetrics-text;q=0.5000", text},
		{"text/plain;x=\"a,application/openmetrics-text;q=1\";q=0.1", text},
		{"application/openmetrics-text;x=\"a,b;q=0\"", om},
		{"application/openmetrics-text ; q = 0.4 , text/plain ; q=0.3", om},
		{",;,==;q=,", text},
	}
	for _, tt := range tests {
		if got := Negotiate([]byte(tt.accept)); got != tt.want {
			t.Errorf("%q gave %v, want %v", tt.accept, got.ContentType(), tt.want.ContentType())
		}
	}
}

func TestAcceptsGzip(t *testing.T) {
	for header, want := range map[string]bool{
		"": false, "identity": false, "deflate, br": false, "gzip;q=0": false, "gzip;q=0.000": false, "*;q=0": false, "gzip;q=0, *": false, "gzip;q=x": false,
		"gzip": true, "GZIP": true, "x-gzip": true, "*": true, "deflate, gzip;q=0.1": true, "br;q=1, gzip; q=0.8, *;q=0": true, "gzip,deflate": true,
	} {
		if got := AcceptsGzip([]byte(header)); got != want {
			t.Errorf("%q gave %v", header, got)
		}
	}
}

func TestNegotiationDoesNotAllocate(t *testing.T) {
	accept := []byte(
		"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
	)
	encoding := []byte("deflate, gzip;q=0.1")
	if n := testing.AllocsPerRun(100, func() { Negotiate(accept); AcceptsGzip(encoding) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzNegotiate(f *testing.F) {
	f.Add("application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.3,*/*;q=0.2", "gzip;q=0.5,*")
	f.Add("a;x=\"\\", ";;q=\"")
	f.Fuzz(func(_ *testing.T, accept, encoding string) {
		Negotiate([]byte(accept))
		AcceptsGzip([]byte(encoding))
	})
}
