package instance_test

import (
	"fmt"

	"stap-exporter/internal/instance"
)

func ExampleInstance_Module() {
	inst := instance.New(0, "/etc/stap-exporter", []string{":9900"})
	fmt.Println(inst.Module("example.stp"))
	fmt.Println(inst.Module("Read calls (by CPU).stp"))
	// Output:
	// stap_exporter_567ffae2_example_3db15ca6eaa1
	// stap_exporter_567ffae2_read_calls_by_cpu__f4f2126994d3
}
