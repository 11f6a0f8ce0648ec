package exposition

import "testing"

func TestDirectives(t *testing.T) {
	d, err := NewDirectives([]Metadata{
		{"c_total", Counter, "how \\ many\nthings"},
		{"g", Gauge, ""},
		{"u", Untyped, "help only"},
		{"h", Histogram, "a histogram"},
		{"nothing", Untyped, ""},
		{"absent", Gauge, "no samples of it"},
		{"c_sum", Summary, ""},
	})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, in, out, did string }{
		{
			"text has none",
			"c_total 1\ng 2\nu 3\nnothing 4\n",
			"# HELP c_total how \\\\ many\\nthings\n# TYPE c_total counter\nc_total 1\n" +
				"# TYPE g gauge\ng 2\n# HELP u help only\nu 3\nnothing 4\n",
			"",
		},
		{
			"text has its own",
			"# HELP c_total mine\n# TYPE c_total gauge\nc_total 1\n",
			"# HELP c_total mine\n# TYPE c_total gauge\nc_total 1\n",
			"",
		},
		{
			"text has HELP",
			"# HELP c_total mine\nc_total 1\n",
			"# HELP c_total mine\n# TYPE c_total counter\nc_total 1\n",
			"",
		},
		{
			"text has TYPE",
			"# TYPE c_total gauge\nc_total 1\n",
			"# TYPE c_total gauge\n# HELP c_total how \\\\ many\\nthings\nc_total 1\n",
			"",
		},
		{
			"HELP after samples",
			"c_total 1\n# HELP c_total mine\n",
			"# HELP c_total mine\n# TYPE c_total counter\nc_total 1\n",
			"",
		},
		{"TYPE after samples", "g 1\n# TYPE g counter\n", "# TYPE g counter\ng 1\n", "+metadata"},
		{
			"histogram",
			"a 1\nh_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\nb 1\n",
			"a 1\n# HELP h a histogram\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\nb 1\n",
			"",
		},
		{
			"scattered histogram",
			"h_bucket{le=\"1\"} 1\na 1\nh_sum 1\n",
			"# HELP h a histogram\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 1\na 1\n",
			"+scattered",
		},
		{
			"text has TYPE of a part",
			"# TYPE h_count gauge\nh_count -1\nh_sum 1\n",
			"# TYPE h_count gauge\nh_count -1\nh_sum 1\n",
			"",
		},
		{
			"part of a part",
			"# TYPE c histogram\nc_sum 1\nc_sum_sum 1\n",
			"# TYPE c histogram\nc_sum 1\nc_sum_sum 1\n",
			"",
		},
		{"wrong type for the samples", "h_bucket{le=\"x\"} 1\na 1\n", "a 1\n", "bad-label"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := Sanitize([]byte(tt.in), Options{Directives: d})
			if string(p.Text()) != tt.out || outcome(p) != tt.did {
				t.Errorf("gave %q, %s; want %q, %s", p.Text(), outcome(p), tt.out, tt.did)
			}
			assertSound(t, p)
		})
	}
}

func TestWrongDirectives(t *testing.T) {
	d, err := NewDirectives(
		[]Metadata{
			{"9", Gauge, ""},
			{"a", Gauge, ""},
			{"a", Counter, ""},
			{"b", Gauge, "\xff"},
			{"", Gauge, ""},
			{"h_sum", Gauge, ""},
			{"h", Histogram, ""},
		},
	)
	want := `metadata of "9": not a metric name
metadata of "a": defined twice
metadata of "b": help text is not UTF-8
metadata of "": not a metric name
metadata of "h_sum": name belongs to the histogram "h"`
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	if got := string(Sanitize([]byte("a 1\n"), Options{Directives: d}).Text()); got != "# TYPE a gauge\na 1\n" {
		t.Errorf("got %q", got)
	}
}
