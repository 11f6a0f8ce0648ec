package stapout

import "testing"

func TestParsePass(t *testing.T) {
	for line, want := range map[string]int{
		"Pass 1: parsed user script and 69 library scripts using 26548virt kb, in 20usr/20sys/39real ms.": 2,
		"Pass 3: pass skipped for stapbpf runtime in 0usr/0sys/0real ms.":                                 4,
		`Pass 4: compiled C into "m.ko" in 1usr/2sys/3real ms.`:                                           5,
		`Pass 4: using cached /root/.systemtap/cache/x.ko`:                                                5,
		"Pass 5: starting run.":                           PassLoad,
		"Pass 5: run completed in 10usr/20sys/30real ms.": 0,
		"Pass 2: analysis failed.  [man error::pass2]":    0,
		"Pass 9: x":           0,
		"Pass":                0,
		"Pass 1":              0,
		"":                    0,
		"WARNING: Pass 1: no": 0,
	} {
		if got := parsePass(line); got != want {
			t.Errorf("parsePass(%q) is %d, want %d", line, got, want)
		}
	}
}
