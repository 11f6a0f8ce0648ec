package scrape

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The server replies to no request before many wait, which only an open loop
// achieves.
func TestOpenLoopDoesNotWait(t *testing.T) {
	const crowd = 20
	var waiting atomic.Int64
	all := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if waiting.Add(1) == crowd {
			close(all)
		}
		select {
		case <-all:
		case <-r.Context().Done():
		}
		w.Header().Set("Content-Type", textType)
		_, _ = w.Write([]byte("a 1\n"))
	}))
	defer server.Close()
	r, err := Open(t.Context(), Config{
		Address:  strings.TrimPrefix(server.URL, "http://"),
		Paths:    []string{"/a"},
		Replicas: 1,
		Interval: 10 * time.Millisecond,
		Duration: 40 * 10 * time.Millisecond,
	})
	if err != nil || r.Wrong > 0 || r.Replies < crowd || r.Replies != waiting.Load() || r.Latency.Count != r.Replies {
		t.Errorf(
			"%d replies to %d requests, %d wrong: %v %v, %v",
			r.Replies,
			waiting.Load(),
			r.Wrong,
			r.Kinds,
			r.Examples,
			err,
		)
	}
}

// Replicas send their own Accept headers and the timeout, over connections of
// their own, which they keep or not.
func TestReplicas(t *testing.T) {
	for name, loop := range map[string]func(*testing.T, Config) (Result, error){
		"open":   func(t *testing.T, c Config) (Result, error) { return Open(t.Context(), c) },
		"closed": func(t *testing.T, c Config) (Result, error) { return Closed(t.Context(), c) },
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			accepted := map[string]int64{} // by Accept-Encoding
			var connections int64
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				accepted[r.Header.Get("Accept-Encoding")]++
				mu.Unlock()
				w.Header().Set("Content-Type", textType)
				if r.Header.Get("X-Prometheus-Scrape-Timeout-Seconds") != "7.5" {
					w.WriteHeader(http.StatusBadRequest)
				}
				_, _ = w.Write([]byte("a 1\n"))
			}))
			server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
				if s == http.StateNew {
					mu.Lock()
					connections++
					mu.Unlock()
				}
			}
			server.Start()
			defer server.Close()
			r, err := loop(t, Config{
				Address:  strings.TrimPrefix(server.URL, "http://"),
				Paths:    []string{"/a"},
				Replicas: 2,
				Interval: 20 * time.Millisecond,
				Duration: 300 * time.Millisecond,
				Timeout:  7500 * time.Millisecond,
				Fresh:    0.5,
				Accepts:  []string{"plain", "gzip"},
				Checks:   Checks{Counters: true},
			})
			if err != nil || r.Wrong > 0 || r.Replies < 2 {
				t.Fatalf("%d replies, %d wrong: %v %v, %v", r.Replies, r.Wrong, r.Kinds, r.Examples, err)
			}
			mu.Lock()
			defer mu.Unlock()
			// The first replica accepts plain text and keeps its connection;
			// the second opens one for each of its scrapes.
			if accepted[""] == 0 || accepted["gzip"] == 0 || len(accepted) != 2 {
				t.Errorf("Accept-Encoding: %v", accepted)
			}
			if fresh := connections - accepted["gzip"]; fresh < 1 || fresh > accepted[""] {
				t.Errorf("%d connections for %v scrapes", connections, accepted)
			}
		})
	}
}
