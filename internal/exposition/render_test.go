package exposition

import (
	"bytes"
	"compress/gzip"
	"io"
	"strconv"
	"sync"
	"testing"
)

func TestOpenMetrics(t *testing.T) {
	tests := []struct{ name, in, out string }{
		{"nothing", "", "# EOF\n"},
		{"comments only", "# hello\n\n", "# EOF\n"},
		{
			"no type",
			"# hello\na{} 1\n\nb{ x = \"1\" , } 2\n",
			"# TYPE a unknown\na 1\n# TYPE b unknown\nb{x=\"1\"} 2\n# EOF\n",
		},
		{
			"gauge",
			"# TYPE a gauge\n# HELP a say \"x\" \\n \\\\ \\\"\na 1\n",
			"# TYPE a gauge\n# HELP a say \\\"x\\\" \\n \\\\ \\\"\na 1\n# EOF\n",
		},
		{
			"counter",
			"# HELP a_total x\n# TYPE a_total counter\na_total{x=\"1\"} 1\na_total{x=\"2\"} 2\n",
			"# TYPE a counter\n# HELP a x\na_total{x=\"1\"} 1\na_total{x=\"2\"} 2\n# EOF\n",
		},
		{"counter without _total", "# TYPE a counter\na 1\n", "# TYPE a unknown\na 1\n# EOF\n"},
		{
			"counter beside a family of its bare name",
			"a 1\n# TYPE a_total counter\na_total 1\n",
			"# TYPE a unknown\na 1\n# TYPE a_total unknown\na_total 1\n# EOF\n",
		},
		{"counter below zero", "# TYPE a_total counter\na_total -1\n", "# TYPE a_total unknown\na_total -1\n# EOF\n"},
		{"counter called _total", "# TYPE _total counter\n_total 1\n", "# TYPE _total unknown\n_total 1\n# EOF\n"},
		{"untyped", "# TYPE a_total untyped\na_total 1\n", "# TYPE a_total unknown\na_total 1\n# EOF\n"},
		{
			"timestamps",
			"a 1 1700000000123\na 1 1000\na 1 5\na 1 0\n",
			"# TYPE a unknown\na 1 1700000000.123\na 1 1\na 1 0.005\na 1 0\n# EOF\n",
		},
		{"HELP after samples", "a 1\n# HELP a x\n# HELP b y\n", "# TYPE a unknown\n# HELP a x\na 1\n# EOF\n"},
		{
			"histogram", "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n",
			"# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n# EOF\n",
		},
		{
			"histogram with a bare sample",
			"# HELP h x\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 3\nh{x=\"1\"} 7\nh_bucket{le=\"+Inf\"} 2\n",
			"# TYPE h_bucket unknown\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\n" +
				"# TYPE h_sum unknown\nh_sum 3\n# TYPE h unknown\n# HELP h x\nh{x=\"1\"} 7\n# EOF\n",
		},
		{
			"summary",
			"# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 3\ns_count 2\n",
			"# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 3\ns_count 2\n# EOF\n",
		},
		{
			"summary without quantile",
			"# TYPE s summary\ns 1\ns_sum 3\n",
			"# TYPE s unknown\ns 1\n# TYPE s_sum unknown\ns_sum 3\n# EOF\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := Sanitize([]byte(tt.in), Options{})
			if p.Problems() != 0 {
				t.Fatal(p.First)
			}
			if got := string(p.OpenMetrics()); got != tt.out {
				t.Errorf("gave\n%s, want\n%s", got, tt.out)
			}
		})
	}
}

// Prometheus multiplies the seconds by 1000 and truncates.
func TestSecondsRoundTrip(t *testing.T) {
	check := func(ms int64) {
		b := appendSeconds(nil, ms)
		v, err := strconv.ParseFloat(string(b), 64)
		if err != nil || int64(v*1000) != ms {
			t.Fatalf("%d became %s, %v: %d", ms, b, err, int64(v*1000))
		}
	}
	for ms := range int64(100_000) {
		check(ms)
		check(1<<30*1000 + ms) // where a float has the fewest digits left
		check(1_700_000_000_000 + ms)
		check(1<<45 - 1 - ms)
	}
	for ms := int64(1); ms < 1<<45; ms *= 3 {
		check(ms)
	}
}

func TestRenderingsAreShared(t *testing.T) {
	p := Sanitize(pageText(3<<10), Options{})
	var wg sync.WaitGroup
	var got [4][16][]byte
	for i := range 16 {
		wg.Go(func() {
			got[0][i] = p.Render(Form{Format: FormatText, Gzip: false})
			got[1][i] = p.Render(Form{Format: FormatText, Gzip: true})
			got[2][i] = p.Render(Form{Format: FormatOpenMetrics, Gzip: false})
			got[3][i] = p.Render(Form{Format: FormatOpenMetrics, Gzip: true})
		})
	}
	wg.Wait()
	for form := range got {
		for i := range got[form] {
			if &got[form][i][0] != &got[form][0][0] {
				t.Errorf("form %d was made twice", form)
			}
		}
	}
	for form := 0; form < 4; form += 2 {
		r, err := gzip.NewReader(bytes.NewReader(got[form+1][0]))
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := io.ReadAll(r); err != nil || !bytes.Equal(plain, got[form][0]) {
			t.Errorf("form %d decompresses to something else: %v", form+1, err)
		}
	}
}

// A page keeps its renderings when the pooled memory is reused.
func TestPagesDoNotShareMemory(t *testing.T) {
	first := Sanitize([]byte("a{x=\"\\t1\"} 1\nb 1\na 2\n"), Options{})
	text, om, zipped := string(first.Text()), string(first.OpenMetrics()), string(first.Render(Form{Gzip: true}))
	for range 100 {
		p := Sanitize([]byte("c{y=\"\\t2\"} 7\nd 8\nc 9\n"), Options{})
		p.OpenMetrics()
		p.Render(Form{Gzip: true})
	}
	if string(first.Text()) != text || string(first.OpenMetrics()) != om ||
		string(first.Render(Form{Gzip: true})) != zipped {
		t.Error("a page changed")
	}
}
