package stapout

import "strings"

// PassLoad is the pass in which the module is loaded and runs.
const PassLoad = 5

// activities are stap's passes as SystemTap's README names them.
var activities = [...]string{
	1:        "pass 1: parse the script",
	2:        "pass 2: analyze the script",
	3:        "pass 3: translate the script",
	4:        "pass 4: compile the module",
	PassLoad: "pass 5: load the module",
}

// Activity describes a pass, 1 to PassLoad, in a few words.
func Activity(pass int) string { return activities[pass] }

// parsePass returns the pass that stap is in after it printed line, or 0 when
// the line reports none. "stap -v" prints "Pass N: …" when pass N is done, but
// "Pass 5: starting run." before pass 5.
func parsePass(line string) (pass int) {
	rest, ok := strings.CutPrefix(line, "Pass ")
	if !ok || len(rest) < 3 || rest[1] != ':' || rest[0] < '1' || rest[0] > '5' {
		return 0
	}
	n := int(rest[0] - '0')
	switch {
	case strings.Contains(rest, "failed"):
		return 0
	case n < PassLoad:
		return n + 1
	case strings.Contains(rest, "starting run"):
		return PassLoad
	default:
		return 0
	}
}
