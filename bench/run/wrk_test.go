package main

import (
	"math"
	"testing"
)

func TestParseWrk(t *testing.T) {
	// As wrk 4.1.0 prints it.
	const out = `Running 1s test @ http://127.0.0.1:9900/example.stp
  2 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.20ms  312.55us   9.10ms   91.12%
    Req/Sec     6.70k   612.00     7.71k    75.00%
  Latency Distribution
     50%    1.15ms
     75%    1.30ms
     90%    1.44ms
     99%  950.00us
  13345 requests in 1.00s, 3.21MB read
  Socket errors: connect 0, read 1, write 0, timeout 2
  Non-2xx or 3xx responses: 4
Requests/sec:  13335.10
Transfer/sec:      3.21MB
`
	r, replies, err := parseWrk([]byte(out))
	if err != nil || replies != 13345 || r.Rate != 13335.10 || math.Abs(r.P99-0.95) > 1e-9 || r.Wrong != 7 {
		t.Errorf("got %+v, %d replies, %v", r, replies, err)
	}
	if _, _, err := parseWrk([]byte("unable to connect")); err == nil {
		t.Error("no error for output without figures")
	}
}
