//go:build vm

package guest

import (
	"strings"
	"testing"

	"stap-exporter/test/harness"
)

// as runs a script as a user and returns the final reply: a 200, or a 503 with
// the reason.
func as(t *testing.T, user string, flags ...string) (*exporter, harness.Page) {
	t.Helper()
	e := start(t, setup{scripts: map[string]string{"counting.stp": text(t, "counting")}, as: user, flags: flags})
	p := e.Get("/counting.stp", startTimeout)
	t.Logf("%s: %d %s", user, p.Code, p.Body)
	note(t, "%d %s", p.Code, firstLines(p.Body, 3))
	return e, p
}

func firstLines(body string, n int) string {
	if strings.HasPrefix(body, "seq{") {
		return "with metrics"
	}
	lines := strings.FieldsFunc(body, func(r rune) bool { return r == '\n' })
	return strings.Join(lines[:min(n, len(lines))], " / ")
}

// Members of stapdev (and stapusr) may load any module.
func userStapdev(t *testing.T) {
	e, p := as(t, "instapdev")
	if p.Code != 200 || !harness.CountingText.MatchString(p.Body) {
		t.Error("not served")
	}
	e.stopClean()
}

// Members of stapsys and stapusr may load modules that root put into
// /lib/modules/RELEASE/systemtap, or signed modules. What the exporter compiles
// is neither.
func userStapsys(t *testing.T) { refused(t, "instapsys") }

func userStapusr(t *testing.T) { refused(t, "instapusr") }

func userPlain(t *testing.T) { refused(t, "plain") }

func refused(t *testing.T, user string) {
	e, p := as(t, user)
	if p.Code != 503 || !strings.Contains(p.Body, "what to do: ") || !strings.Contains(p.Body, "stapdev") {
		t.Error("the reply does not name what is missing")
	}
	e.stopClean()
}
