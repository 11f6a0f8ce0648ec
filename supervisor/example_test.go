package supervisor_test

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"stap-exporter/actors"
	"stap-exporter/internal/exposition"
	"stap-exporter/internal/runner"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
	"stap-exporter/supervisor"
)

// A supervisor runs the scripts and answers scrapes. Start runs them with
// SystemTap; here a starter stands in for that.
func Example() {
	s, err := supervisor.StartWith(supervisor.Config{
		Scripts:     []script.Script{{Name: "counting.stp", Module: "counting"}},
		ReadTimeout: 10 * time.Second,
		Logger:      zap.NewNop(),
	}, starter{})
	if err != nil {
		fmt.Println(err)
		return
	}
	query := scrape.Query{Wait: true, Deadline: time.Now().Add(time.Minute)}
	fmt.Printf("%s", s.Scrape([]byte("counting.stp"), query).Page.Text())
	fmt.Println(s.Scrape([]byte("unknown.stp"), query).Err)
	for _, status := range s.Statuses() {
		fmt.Println(status.Script.Name, status.State)
	}
	fmt.Println(s.Shutdown(context.Background()))
	// Output:
	// count 9
	// script not found
	// counting.stp running
	// []
}

// starter runs scripts without processes.
type starter struct{}

func (starter) Start(_ script.Script, run uint64, report func(any)) actors.Process {
	report(actors.ProcessReady{Ready: runner.Ready{Run: run, OSPID: 1}, Source: source{}})
	return process{run, report}
}

func (starter) Validate(script.Script, uint64, func(any)) actors.Process { return nil }

type source struct{}

func (source) Read(context.Context, <-chan struct{}) (*exposition.Page, error) {
	return exposition.Sanitize([]byte("count 9\n"), exposition.Options{}), nil
}
func (source) MustDrain() bool { return false }
func (source) Pace() int       { return 0 }

type process struct {
	run    uint64
	report func(any)
}

func (p process) Stop(<-chan struct{}) {
	go p.report(actors.ProcessExited{Run: p.run, Exit: runner.Exit{Stopped: true}})
}
func (p process) Kill()       { p.Stop(nil) }
func (p process) Prioritize() {}
