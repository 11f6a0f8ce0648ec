//go:build vm

package guest

import (
	"strings"
	"testing"
)

// as runs one script as a user and returns the reply in the end: 200, or a 503
// that says why not.
func as(t *testing.T, user string, flags ...string) (*exporter, page) {
	t.Helper()
	e := start(t, setup{scripts: map[string]string{"counting.stp": text(t, "counting")}, as: user, flags: flags})
	p := e.get("/counting.stp", patience)
	t.Logf("%s: %d %s", user, p.code, p.body)
	note(t, "%d %s", p.code, firstLines(p.body, 3))
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
	if p.code != 200 || !countingText.MatchString(p.body) {
		t.Error("not served")
	}
	e.endsClean()
}

// Members of stapsys and stapusr may load modules that root has put into
// /lib/modules/RELEASE/systemtap, or signed; none of them is what the exporter
// compiles.
func userStapsys(t *testing.T) { refused(t, "instapsys") }

func userStapusr(t *testing.T) { refused(t, "instapusr") }

func userPlain(t *testing.T) { refused(t, "plain") }

func refused(t *testing.T, user string) {
	e, p := as(t, user)
	if p.code != 503 || !strings.Contains(p.body, "what to do: ") || !strings.Contains(p.body, "stapdev") {
		t.Error("it does not say what is missing")
	}
	e.endsClean()
}
