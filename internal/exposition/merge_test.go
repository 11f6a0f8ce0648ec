package exposition

import "testing"

func TestMerge(t *testing.T) {
	type src struct{ script, text string }
	tests := []struct {
		name string
		in   []src
		out  string
		did  string
	}{
		{"none", nil, "", ""},
		{
			"one",
			[]src{{"a.stp", "# c\n# TYPE m gauge\nm 1\nn{x=\"1\"} 2 5\no{} 3\np{ x=\"1\", } 4\n"}},
			"# TYPE m gauge\nm{script=\"a.stp\"} 1\nn{script=\"a.stp\",x=\"1\"} 2 5\n" +
				"o{script=\"a.stp\"} 3\np{script=\"a.stp\",x=\"1\", } 4\n",
			"",
		},
		{
			"script name with escapes",
			[]src{{"a\"\\\n\xff.stp", "m 1\n"}},
			"m{script=\"a\\\"\\\\\\n\uFFFD.stp\"} 1\n",
			"",
		},
		{
			"families merged",
			[]src{{"a", "# HELP m first\nm 1\nn 1\n"}, {"b", "n 2\n# HELP m second\nm 2\n"}},
			"# HELP m first\nm{script=\"a\"} 1\nm{script=\"b\"} 2\nn{script=\"a\"} 1\nn{script=\"b\"} 2\n",
			"",
		},
		{"same script twice", []src{{"a", "m 1\n"}, {"a", "m 2\n"}}, "m{script=\"a\"} 1\n", ""},
		{
			"a script label of its own",
			[]src{{"a", "m{script=\"x\"} 1\nm{exported_script=\"y\",script=\"x\"} 2 7\nm{description=\"\"} 3\n"}},
			"m{script=\"a\",exported_script=\"x\"} 1\n" +
				"m{script=\"a\",exported_script=\"y\",exported_exported_script=\"x\"} 2 7\n" +
				"m{script=\"a\",description=\"\"} 3\n",
			"",
		},
		{
			"one type, one none",
			[]src{{"a", "m 1\n"}, {"b", "# TYPE m counter\nm 2\n"}},
			"# TYPE m counter\nm{script=\"a\"} 1\nm{script=\"b\"} 2\n",
			"",
		},
		{
			"two types",
			[]src{{"a", "# HELP m x\n# TYPE m gauge\nm 1\n"}, {"b", "# TYPE m counter\nm 2\n"}},
			"# HELP m x\nm{script=\"a\"} 1\nm{script=\"b\"} 2\n",
			"",
		},
		{
			"histogram in both",
			[]src{
				{"a", "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 3\nh_count 2\n"},
				{"b", "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 3\nh_count 2\n"},
			},
			"# TYPE h histogram\nh_bucket{script=\"a\",le=\"1\"} 1\nh_sum{script=\"a\"} 3\n" +
				"h_count{script=\"a\"} 2\nh_bucket{script=\"b\",le=\"1\"} 1\n" +
				"h_sum{script=\"b\"} 3\nh_count{script=\"b\"} 2\n",
			"",
		},
		{
			"histogram beside a family of a part's name",
			[]src{
				{"a", "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 3\nh_count 2\n"},
				{"b", "# TYPE h_count gauge\nh_count -2\n"},
			},
			"# TYPE h_count gauge\nh_count{script=\"b\"} -2\nh_count{script=\"a\"} 2\n" +
				"h_bucket{script=\"a\",le=\"1\"} 1\nh_sum{script=\"a\"} 3\n",
			"",
		},
		{
			"histogram against gauge",
			[]src{{"a", "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 3\n"}, {"b", "# TYPE h gauge\nh -2\n"}},
			"h{script=\"b\"} -2\nh_bucket{script=\"a\",le=\"1\"} 1\nh_sum{script=\"a\"} 3\n", "",
		},
		{
			"the exporter's own",
			[]src{{"", "# TYPE up gauge\nup{script=\"a\"} 1\n"}, {"a", "up 7\nm 1\n"}},
			"# TYPE up gauge\nup{script=\"a\"} 1\nm{script=\"a\"} 1\n", "duplicate-series",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var sources []Source
			for _, s := range tt.in {
				sources = append(sources, Source{s.script, Sanitize([]byte(s.text), Options{})})
			}
			p := Merge(append(sources, Source{"down.stp", nil}))
			if got := string(p.Text()); got != tt.out || outcome(p) != tt.did {
				t.Errorf("gave\n%s(%s), want\n%s(%s)", got, outcome(p), tt.out, tt.did)
			}
			assertSound(t, p)
		})
	}
}
