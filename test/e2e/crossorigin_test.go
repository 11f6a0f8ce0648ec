package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"stap-exporter/test/harness"
)

// fetch runs a POST from the page that is open, and returns its status code, or
// "opaque" when the browser sent it and hides the reply from the page.
func (b *browser) fetch(target, mode string) string {
	b.t.Helper()
	script := fmt.Sprintf(
		"fetch(%q, {method: 'POST', mode: %q}).then(r => r.type == 'opaque' ? r.type : '' + r.status, e => '' + e)",
		target, mode,
	)
	var got struct{ Result struct{ Value string } }
	b.call("Runtime.evaluate", map[string]any{"expression": script, "awaitPromise": true}, &got)
	return got.Result.Value
}

// A real browser, over plain HTTP, cannot be made to operate scripts by a page
// of another site, nor by a name of another site that resolves to the exporter.
// A page of the exporter itself can.
func TestBrowserOfAnotherSiteOperatesNothing(t *testing.T) {
	harness.NeedStap(t)
	harness.NeedProgram(t, "chromium")
	t.Parallel()
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	e := harness.Start(t, harness.ScriptDir(t, map[string]string{"a.stp": harness.Counting}), "--web.enable-lifecycle")
	exporter, err := url.Parse(e.URL)
	if err != nil {
		t.Fatal(err)
	}
	at := func(host string) string { return "http://" + strings.ToLower(host) + ":" + exporter.Port() }

	// Another site, which records how a browser reports its requests.
	var site, origin atomic.Value
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			site.Store(r.Header.Get("Sec-Fetch-Site"))
			origin.Store(r.Header.Get("Origin"))
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<title>other</title>")
	}))
	defer other.Close()
	attacker, err := url.Parse(other.URL)
	if err != nil {
		t.Fatal(err)
	}

	// Every name resolves to this machine, as a name under an attacker's
	// control may. The pages' own policy, which forbids fetch, is switched off.
	b := startBrowser(t, "--host-resolver-rules=MAP * 127.0.0.1")
	b.call("Page.setBypassCSP", map[string]any{"enabled": true}, nil)
	visit := func(address, title string) {
		t.Helper()
		b.open(address)
		harness.Eventually(t, address, func() bool { return strings.HasPrefix(b.text(), title) })
	}
	const reload, stop = "/-/reload", "/api/v1/scripts/a.stp/stop"
	accepted := func() int {
		return strings.Count(e.Log(), `"msg":"reloaded"`) + strings.Count(e.Log(), `"msg":"operator request accepted"`)
	}

	visit("http://attacker.example:"+attacker.Port()+"/", "other")
	if got := b.fetch("http://elsewhere.example:"+attacker.Port()+"/", "no-cors"); got != "opaque" {
		t.Fatalf("a page may not post at all: %s", got)
	}
	if site.Load() != "" || origin.Load() != "http://attacker.example:"+attacker.Port() {
		t.Errorf("over plain HTTP the browser sends Sec-Fetch-Site %q, Origin %q", site.Load(), origin.Load())
	}
	for _, host := range []string{machine, "127.0.0.1", "localhost", "attacker.example"} {
		for _, action := range []string{reload, stop} {
			if got := b.fetch(at(host)+action, "no-cors"); got != "opaque" {
				t.Errorf("%s of %s was not sent: %s", action, host, got)
			}
		}
	}
	if n := accepted(); n != 0 {
		t.Fatalf("a page of another site operates the exporter, %d times", n)
	}

	visit(at("attacker.example")+"/", "stap-exporter")
	for _, action := range []string{reload, stop} {
		if got := b.fetch(action, "same-origin"); got != "403" {
			t.Errorf("%s from a rebound name: %s", action, got)
		}
	}

	for i, host := range []string{machine, "127.0.0.1", "localhost"} {
		visit(at(host)+"/", "stap-exporter")
		for action, want := range map[string]string{reload: "200", stop: "202"} {
			if got := b.fetch(action, "same-origin"); got != want {
				t.Errorf("%s from the page of %s: %s", action, host, got)
			}
		}
		// the log arrives a moment later
		harness.Eventually(t, "both are logged", func() bool { return accepted() == 2*(i+1) })
	}
}
