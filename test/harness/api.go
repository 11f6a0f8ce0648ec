package harness

import "encoding/json"

// Status is what these tests look at in the status API.
type Status struct {
	State               string
	Activity            string
	QueuePosition       int   `json:"queue_position"`
	QueueLength         int   `json:"queue_length"`
	ConsecutiveFailures int   `json:"consecutive_failures"`
	CrashLoop           bool  `json:"crash_loop"`
	OSPID               int   `json:"os_pid"`
	OSPIDs              []int `json:"os_pids"`
	Exits               map[string]int
	Output              []string
	Reason              []string
	History             []struct {
		Cause, Signal string
		Code          *int
	}
}

func (e *Exporter) Status(name string) (s Status) {
	e.T.Helper()
	p := e.Get("/api/v1/scripts/"+name, "")
	if err := json.Unmarshal([]byte(p.Body), &s); err != nil || p.Code != 200 {
		e.T.Fatalf("status of %s: %d %s: %v", name, p.Code, p.Body, err)
	}
	return s
}
