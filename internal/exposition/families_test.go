package exposition

import "testing"

func TestFaultsOfFamilies(t *testing.T) {
	testFaults(t, []fault{
		// HELP and TYPE.
		{"second HELP", "# HELP a x\n# HELP a y\na 1\n", "# HELP a x\na 1\n", "+metadata"},
		{"second TYPE", "# TYPE a gauge\na 1\n# TYPE a counter\n", "# TYPE a gauge\na 1\n", "+metadata"},
		{
			"TYPE after samples",
			"a 1\n# TYPE a gauge\na{x=\"1\"} 1\n",
			"# TYPE a gauge\na 1\na{x=\"1\"} 1\n",
			"+metadata",
		},
		{"HELP after samples", "a 1\n# HELP a x\n", "a 1\n# HELP a x\n", ""},
		{"unknown type", "# TYPE a thing\na 1\n", "a 1\n", "bad-metadata"},
		{"type that the text format lacks", "# TYPE a info\na 1\n", "a 1\n", "bad-metadata"},
		{"no type", "# TYPE a\n# TYPE a \na 1\n", "a 1\n", "bad-metadata*2"},
		{"no name in TYPE", "# TYPE \n# TYPE - gauge\n# TYPE a-b gauge\na 1\n", "a 1\n", "bad-metadata*3"},
		{"type in capitals", "# TYPE a  Counter \na 1\n", "# TYPE a counter\na 1\n", "+metadata"},
		{"OpenMetrics name of untyped", "# TYPE a unknown\na 1\n", "# TYPE a untyped\na 1\n", "+metadata"},
		{"quoted name in TYPE", "# TYPE \"a\" gauge\na 1\n", "# TYPE a gauge\na 1\n", "+metadata"},
		{
			"open quote in HELP",
			"# HELP \"a x\na 1\n# HELP b \"x\"\nb 2\n",
			"a 1\n# HELP b \"x\"\nb 2\n",
			"bad-metadata",
		},
		{"no name in HELP", "# HELP \n# HELP\na 1\n", "# HELP\na 1\n", "bad-metadata"},
		{
			"HELP without text",
			"# HELP a\n# HELP b \na 1\nb{x=\"1\"} 2\n",
			"# HELP a\n# HELP b \nb{x=\"1\"} 2\na 1\n",
			"+scattered",
		},
		{
			"HELP with backslashes",
			"# HELP a \\d \\n \\\\ \\\" \\\na 1\n",
			"# HELP a \\\\d \\n \\\\ \\\" \\\\\na 1\n",
			"+metadata",
		},
		{"HELP that is not UTF-8", "# HELP a \xff\na 1\n", "a 1\n", "not-utf8"},
		{"HELP without a blank before it", "#HELP a x\n#TYPE a gauge\na 1\n", "#HELP a x\n#TYPE a gauge\na 1\n", ""},

		// Duplicates.
		{"same line twice", "a 1\nb 2\na 1\n", "a 1\nb 2\n", "duplicate-series"},
		{"same series, other value", "a{x=\"1\"} 1\na{x=\"1\"} 2\n", "a{x=\"1\"} 1\n", "duplicate-series"},
		{
			"same labels in another order",
			"a{x=\"1\",y=\"2\"} 1\na { y = \"2\" , x=\"1\" } 2\n",
			"a{x=\"1\",y=\"2\"} 1\n",
			"duplicate-series",
		},
		{"an empty label is no label", "a 1\na{} 2\na{x=\"\"} 3\n", "a 1\n", "duplicate-series*2"},
		{
			"same series with another escape",
			`a{x="\x41"} 1` + "\na{x=\"A\"} 2\n",
			"a{x=\"A\"} 1\n",
			"duplicate-series +escape",
		},
		{"same series at another time", "a 1\na 1 5\na 1 6\na 1 06\n", "a 1\na 1 5\na 1 6\n", "duplicate-series"},
		{
			"values swapped",
			"a{x=\"1\",y=\"2\"} 1\na{x=\"2\",y=\"1\"} 1\n",
			"a{x=\"1\",y=\"2\"} 1\na{x=\"2\",y=\"1\"} 1\n",
			"",
		},
		{
			"doubled text",
			"# TYPE a gauge\na 1\nb 2\n# TYPE a gauge\na 1\nb 2\n",
			"# TYPE a gauge\na 1\nb 2\n",
			"duplicate-series*2 +metadata",
		},

		// Families.
		{
			"scattered",
			"a{x=\"1\"} 1\nb{x=\"1\"} 1\na{x=\"2\"} 2\nb{x=\"2\"} 2\n",
			"a{x=\"1\"} 1\na{x=\"2\"} 2\nb{x=\"1\"} 1\nb{x=\"2\"} 2\n",
			"+scattered*2",
		},
		{
			"metadata first, then samples",
			"# TYPE a gauge\n# TYPE b gauge\na 1\nb 2\n",
			"# TYPE a gauge\na 1\n# TYPE b gauge\nb 2\n",
			"+scattered*2",
		},
		{
			"comments go with the next line",
			"# one\na{x=\"1\"} 1\nb 1\n# two\na 2\n# end\n",
			"# one\na{x=\"1\"} 1\n# two\na 2\nb 1\n# end\n",
			"+scattered",
		},
		{
			"histogram in one piece",
			"# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n",
			"# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n", "",
		},
		{
			"histogram in pieces",
			"h_bucket{le=\"1\"} 1\na 1\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nb 1\nh_count 2\n",
			"# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\na 1\nb 1\n",
			"+scattered*2 +metadata",
		},
		{
			"histogram with le that is no number",
			"# TYPE h histogram\nh_bucket{le=\"x\"} 1\nh_bucket{le=\"+Inf\"} 2\n",
			"# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\n",
			"bad-label",
		},
		{
			"histogram with counts below zero",
			"# TYPE h histogram\nh_bucket{le=\"1\"} -1\nh_count -1\nh_sum -1\n",
			"# TYPE h histogram\nh_sum -1\n",
			"bad-value*2",
		},
		{
			"summary with quantile that is no number",
			"# TYPE s summary\ns{quantile=\"x\"} 1\ns{quantile=\"0.5\"} 1\ns_sum 1\ns_count 1\ns_bucket 1\n",
			"# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 1\ns_count 1\ns_bucket 1\n",
			"bad-label",
		},
		{
			"HELP of a part",
			"# TYPE h histogram\n# HELP h_sum x\nh_sum 1\n",
			"# TYPE h histogram\n# HELP h_sum x\nh_sum 1\n",
			"",
		},
		{
			"TYPE of a part",
			"# TYPE h histogram\n# TYPE h_sum gauge\nh_sum 1\n",
			"# TYPE h histogram\nh_sum 1\n",
			"+metadata",
		},
		{
			"TYPE of a part that comes first",
			"# TYPE h_sum gauge\nh_sum 1\n# TYPE h histogram\nh_count 1\n",
			"# TYPE h_sum gauge\nh_sum 1\n# TYPE h histogram\nh_count 1\n",
			"",
		},
		{
			"parts of a histogram without TYPE are families",
			"h_sum 1\nh_count 2\nh_sum{x=\"1\"} 1\n",
			"h_sum 1\nh_sum{x=\"1\"} 1\nh_count 2\n",
			"+scattered",
		},
	})
}
