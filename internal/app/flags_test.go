package app

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// The defaults are flags that the exporter takes.
func TestDefaults(t *testing.T) {
	const shell = `. ../../packaging/default/stap-exporter; printf '%s\n' $PORT $KEEPALIVE $SCRIPTS $OPTIONS`
	out, err := exec.Command("bash", "-uc", shell).Output()
	if err != nil {
		t.Fatal(err)
	}
	opts, err := ParseFlags(strings.Fields(string(out)), "test", os.Stdout)
	if err != nil || opts.keepalive.Seconds() != 300 || !slices.Equal(opts.listen, []string{":9900"}) {
		t.Errorf("%q: %+v, %v", out, opts, err)
	}
}
