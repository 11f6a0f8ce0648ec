package exposition_test

import (
	"fmt"

	"stap-exporter/internal/exposition"
)

// A script wrote a value that no parser accepts, and a label value with an
// escape of C. The one line is dropped, the other one repaired.
func ExampleSanitize() {
	text := []byte("" +
		"# TYPE reads_total counter\n" +
		"reads_total{comm=\"cat\"} ERROR\n" +
		"reads_total{comm=\"\\141wk\"} 7\n")

	page := exposition.Sanitize(text, exposition.Options{})
	fmt.Printf("%s\n", page.Text())
	fmt.Println("samples:", page.Samples)
	fmt.Println("dropped:", page.First)
	fmt.Println("repaired escapes:", page.Repaired[exposition.RepairEscape])
	// Output:
	// # TYPE reads_total counter
	// reads_total{comm="awk"} 7
	//
	// samples: 1
	// dropped: bad-value in line 2: "reads_total{comm=\"cat\"} ERROR"
	// repaired escapes: 1
}

// Two scripts write the same family. The merged page has it once.
func ExampleMerge() {
	page := func(text string) *exposition.Page {
		return exposition.Sanitize([]byte(text), exposition.Options{})
	}
	merged := exposition.Merge([]exposition.Source{
		{Script: "disk.stp", Page: page("# TYPE reads_total counter\nreads_total 3\n")},
		{Script: "net.stp", Page: page("# TYPE reads_total counter\nreads_total{dev=\"eth0\"} 4\n")},
	})
	fmt.Printf("%s", merged.Text())
	// Output:
	// # TYPE reads_total counter
	// reads_total{script="disk.stp"} 3
	// reads_total{script="net.stp",dev="eth0"} 4
}
