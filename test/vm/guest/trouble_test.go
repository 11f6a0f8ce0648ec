//go:build vm

package guest

import (
	"strings"
	"testing"
)

// SystemTap ends a script whose probes take too much CPU time. The reply has
// the reason and a remedy.
func overload(t *testing.T) {
	e := start(t, setup{scripts: map[string]string{"overload.stp": text(t, "overload")}})
	p := e.waitForReply("/overload.stp", 503, "probe overhead", "exceeded threshold")
	t.Logf("%s", p.Body)
	if !strings.Contains(p.Body, "half of a CPU") {
		t.Error("no remedy")
	}
	e.stopClean()
}

func maxErrors(t *testing.T) {
	e := start(t, setup{scripts: map[string]string{"maxerrors.stp": text(t, "maxerrors")}})
	p := e.waitForReply("/maxerrors.stp", 503, "no luck this time")
	t.Logf("%s", p.Body)
	e.stopClean()
}
