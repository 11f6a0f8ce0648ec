package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// wrkResult is the result of one run of wrk, which sends as many requests as
// the server can answer.
type wrkResult struct {
	Rate  float64 // replies per second
	CPU   float64 // microseconds of the server's CPU time per reply
	P99   float64 // latency in milliseconds
	Wrong int     // replies other than 200, and socket errors, as wrk counts them
}

var (
	wrkRequests = regexp.MustCompile(`(\d+) requests in`)
	wrkRate     = regexp.MustCompile(`Requests/sec:\s+([\d.]+)`)
	wrkP99      = regexp.MustCompile(`99%\s+([\d.]+)(us|ms|s|m)\b`)
	wrkWrong    = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)`)
	wrkSocket   = regexp.MustCompile(`Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`)
)

// wrk loads a server over keep-alive connections for d, in whole seconds. It
// does not check bodies; package scrape does.
func (b *bench) wrk(
	ctx context.Context,
	c *child,
	path string,
	connections int,
	d time.Duration,
	headers ...string,
) (r wrkResult, err error) {
	before, err := c.usage()
	if err != nil {
		return r, err
	}
	args := []string{
		"--latency",
		"--threads", strconv.Itoa(min(2, connections)),
		"--connections", strconv.Itoa(connections),
		"--duration", fmt.Sprintf("%.0fs", d.Seconds()),
		"--timeout", "10s",
	}
	for _, h := range headers {
		args = append(args, "-H", h)
	}
	out, err := exec.CommandContext(ctx, "wrk", append(args, "http://"+c.address+path)...).CombinedOutput()
	if err != nil {
		return r, fmt.Errorf("run wrk: %w: %s", err, out)
	}
	after, err := c.usage()
	if err != nil {
		return r, err
	}
	r, replies, err := parseWrk(out)
	r.CPU = cpuPerReply(before, after, replies)
	return r, err
}

// parseWrk parses the output of wrk 4.
func parseWrk(out []byte) (r wrkResult, replies int64, err error) {
	rate, requests, p99 := wrkRate.FindSubmatch(out), wrkRequests.FindSubmatch(out), wrkP99.FindSubmatch(out)
	if rate == nil || requests == nil || p99 == nil {
		return r, 0, fmt.Errorf("parse wrk's output: %s", out)
	}
	replies, _ = strconv.ParseInt(string(requests[1]), 10, 64)
	r.Rate, _ = strconv.ParseFloat(string(rate[1]), 64)
	r.P99, _ = strconv.ParseFloat(string(p99[1]), 64)
	r.P99 *= map[string]float64{"us": 1e-3, "ms": 1, "s": 1e3, "m": 60e3}[string(p99[2])]
	if m := wrkWrong.FindSubmatch(out); m != nil {
		r.Wrong, _ = strconv.Atoi(string(m[1]))
	}
	if m := wrkSocket.FindSubmatch(out); m != nil {
		for _, each := range m[1:] {
			n, _ := strconv.Atoi(string(each))
			r.Wrong += n
		}
	}
	return r, replies, nil
}
