package scrape

import (
	"testing"
	"time"
)

func TestRequests(t *testing.T) {
	var none *Status
	none.Count(200)
	(&Status{}).Count(200)
	r := &Requests{}
	if _, ok := r.Last(); ok {
		t.Error("a last request before the first")
	}
	st := &Status{Requests: r}
	for _, code := range []int{200, 503, 200, 404} {
		st.Count(code)
	}
	want := map[int]uint64{200: 2, 503: 1}
	for i, code := range RequestCodes {
		if got := r.Total(i); got != want[code] {
			t.Errorf("code %d: got %d, want %d", code, got, want[code])
		}
	}
	now := time.Now()
	r.MarkReceived(now)
	if last, ok := r.Last(); !ok || !last.Equal(now) {
		t.Errorf("got %v, %v, want %v", last, ok, now)
	}
}
