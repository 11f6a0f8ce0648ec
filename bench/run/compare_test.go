package main

import "testing"

func TestComparison(t *testing.T) {
	c := comparison{Rounds: []comparedRound{
		{sample{CPU: 10, P99: 1, Rate: 100}, sample{CPU: 20, P99: 1, Rate: 100, Wrong: 2}},
		{sample{CPU: 20, P99: 2, Rate: 100}, sample{CPU: 20, P99: 1, Rate: 50}},
		{sample{CPU: 40, P99: 4, Rate: 100, Wrong: 1}, sample{CPU: 60, P99: 8, Rate: 100, Wrong: 3}},
	}}
	c.summarize()
	if want := (sample{CPU: 20, P99: 2, Rate: 100, Wrong: 1}); c.Before != want {
		t.Errorf("before: got %+v, want %+v", c.Before, want)
	}
	if want := (sample{CPU: 20, P99: 1, Rate: 100, Wrong: 5}); c.After != want {
		t.Errorf("after: got %+v, want %+v", c.After, want)
	}
	if c.Ratio != (sample{CPU: 1.5, P99: 1, Rate: 1}) || c.Low.P99 != 0.5 || c.High.P99 != 2 {
		t.Errorf("ratios: got %+v, %+v to %+v", c.Ratio, c.Low, c.High)
	}
}
