//go:build vm

package guest

import (
	"strings"
	"testing"
)

// SystemTap ends a script whose probes take too much of a CPU. The 503 names
// the remedy.
func overload(t *testing.T) {
	e := start(t, setup{scripts: map[string]string{"overload.stp": text(t, "overload")}})
	p := e.says("/overload.stp", 503, "probe overhead", "exceeded threshold")
	t.Logf("%s", p.body)
	if !strings.Contains(p.body, "half of a CPU") {
		t.Error("no word on what to do")
	}
	e.endsClean()
}

func maxErrors(t *testing.T) {
	e := start(t, setup{scripts: map[string]string{"maxerrors.stp": text(t, "maxerrors")}})
	p := e.says("/maxerrors.stp", 503, "no luck this time")
	t.Logf("%s", p.body)
	e.endsClean()
}
