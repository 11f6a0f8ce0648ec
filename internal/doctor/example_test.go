package doctor_test

import (
	"fmt"

	"stap-exporter/internal/doctor"
	"stap-exporter/internal/runner"
)

// SystemTap is not installed: the first finding reports that, with a remedy.
func ExampleDiagnose() {
	f := doctor.Diagnose(runner.Config{Stap: "/nowhere/stap"})[0]
	fmt.Println(f.Check, f.OK, f.Remedy != "")
	fmt.Println(f.Detail)
	// Output:
	// systemtap false true
	// find stap "/nowhere/stap": systemtap is not installed
}
