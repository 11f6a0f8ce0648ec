package telemetry_test

import (
	"fmt"

	"go.uber.org/zap"

	"stap-exporter/internal/scrape"
	"stap-exporter/internal/telemetry"
)

// A Recorder is fed with the events of each script through a listener of its
// own.
func Example() {
	recorder := telemetry.New(telemetry.Config{
		Version:  "1.2.3",
		Statuses: func() []*scrape.Status { return nil },
		Usage: func() func(int) (telemetry.Usage, bool) {
			return func(int) (telemetry.Usage, bool) { return telemetry.Usage{}, false }
		},
		Logger: zap.NewNop(),
	})
	listen := recorder.Listener("counting.stp")
	listen(scrape.StateChanged{
		Script: "counting.stp",
		From:   scrape.Idle,
		To:     scrape.Starting,
		Cause:  scrape.CauseRequest,
	})

	for _, e := range recorder.Events() {
		fmt.Println(e.Script, e.Kind, e.From, e.To, e.Cause)
	}
	families, err := recorder.Gatherer().Gather()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range families {
		if f.GetName() == "stap_exporter_script_starts_total" {
			fmt.Println(f.GetName(), f.GetMetric()[0].GetCounter().GetValue())
		}
	}
	// Output:
	// counting.stp state-changed idle starting request
	// stap_exporter_script_starts_total 1
}
