package main

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"time"

	"stap-exporter/bench/server"
)

// serve runs a server of the benchmarks in this process until the end of the
// test.
func serve(t *testing.T, kind string, o server.Options) (address, ca string) {
	t.Helper()
	s, err := server.New(kind, o)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Serve(ln)
	}()
	t.Cleanup(func() {
		s.Close()
		<-ended
	})
	return ln.Addr().String(), s.CA()
}

// TestSmoke runs the load program against the product without SystemTap, for
// about 10 s. It checks every body, and no time.
func TestSmoke(t *testing.T) {
	many := server.Options{Size: 3 << 10, Scripts: 3}
	for name, c := range map[string]struct {
		server server.Options
		args   string
	}{
		"open loop": {
			many,
			"-scripts=3 -replicas=12 -interval=200ms -jitter=0.3 -spread=0.3 -fresh=0.25 " +
				"-accepts=prometheus,prometheus2,plain,gzip,openmetrics",
		},
		"open loop, TLS": {
			server.Options{Size: 1 << 10, Scripts: 1, TLS: true},
			"-replicas=8 -interval=400ms -fresh=0.25",
		},
		"costly reads": {
			server.Options{Size: 1 << 10, Scripts: 2, Cost: 20 * time.Millisecond},
			"-scripts=2 -closed -replicas=8 -accepts=plain,prometheus",
		},
		"closed loop": {
			server.Options{Size: 64_000, Scripts: 1},
			"-closed -replicas=8 -fresh=0.25 -accepts=gzip,plain,prometheus",
		},
		"started on demand": {
			server.Options{Size: 100, Scripts: 3, OnDemand: true},
			"-scripts=3 -replicas=4 -interval=250ms",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, ca := serve(t, "product", c.server)
			args := []string{"-address=" + address, "-duration=3s", "-timeout=60s", "-out=" + t.TempDir()}
			args = append(args, strings.Fields(c.args)...)
			if ca != "" {
				args = append(args, "-ca="+ca)
			}
			var out, errs bytes.Buffer
			if code := run(args, &out, &errs); code != 0 {
				t.Errorf("exit code %d\n%s%s", code, &out, &errs)
			}
			t.Log(out.String())
		})
	}
}

// A server whose texts are made beforehand fails the check of their age.
func TestStaleBodies(t *testing.T) {
	address, _ := serve(t, "bare", server.Options{Size: 1 << 10})
	var out, errs bytes.Buffer
	code := run([]string{"-address=" + address, "-closed", "-duration=200ms"}, &out, &errs)
	if code != 1 || !strings.Contains(out.String(), "older than request") {
		t.Errorf("exit code %d\n%s%s", code, &out, &errs)
	}
}
