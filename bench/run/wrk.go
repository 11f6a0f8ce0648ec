package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// saturated is what a server did under as much load as it could take.
type wrkResult struct {
	Rate  float64 // replies per second
	CPU   float64 // microseconds of the server's CPU time per reply
	Wrong int     // replies that were no 200, and socket errors, as wrk counts them
}

var (
	wrkRequests = regexp.MustCompile(`(\d+) requests in`)
	wrkRate     = regexp.MustCompile(`Requests/sec:\s+([\d.]+)`)
	wrkWrong    = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)`)
	wrkSocket   = regexp.MustCompile(`Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`)
)

// wrk loads a server over keep-alive connections for d, in whole seconds. It
// does not look at bodies; package scrape does.
func (b *bench) wrk(
	ctx context.Context,
	c *child,
	path string,
	connections int,
	d time.Duration,
	headers ...string,
) (s wrkResult, err error) {
	before, err := c.usage()
	if err != nil {
		return s, err
	}
	args := []string{
		"-t",
		strconv.Itoa(min(2, connections)),
		"-c",
		strconv.Itoa(connections),
		"-d",
		fmt.Sprintf("%.0fs", d.Seconds()),
		"--timeout",
		"10s",
	}
	for _, h := range headers {
		args = append(args, "-H", h)
	}
	out, err := exec.CommandContext(ctx, "wrk", append(args, "http://"+c.address+path)...).CombinedOutput()
	if err != nil {
		return s, fmt.Errorf("run wrk: %w: %s", err, out)
	}
	after, err := c.usage()
	if err != nil {
		return s, err
	}
	rate, requests := wrkRate.FindSubmatch(out), wrkRequests.FindSubmatch(out)
	if rate == nil || requests == nil {
		return s, fmt.Errorf("read wrk's output: %s", out)
	}
	n, _ := strconv.Atoi(string(requests[1]))
	s.Rate, _ = strconv.ParseFloat(string(rate[1]), 64)
	s.CPU = float64((after.cpu - before.cpu).Nanoseconds()) / 1000 / float64(max(n, 1))
	if m := wrkWrong.FindSubmatch(out); m != nil {
		s.Wrong, _ = strconv.Atoi(string(m[1]))
	}
	if m := wrkSocket.FindSubmatch(out); m != nil {
		for _, each := range m[1:] {
			n, _ := strconv.Atoi(string(each))
			s.Wrong += n
		}
	}
	return s, nil
}
