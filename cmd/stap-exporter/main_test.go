package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Flags that cannot work are found before anything runs. The error is one line.
func TestWebFlagsThatCannotWork(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.yml")
	if err := os.WriteFile(file, []byte("rate_limit:\n  burts: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		flag, want string
		code       int
	}{
		{"--web.config.file=" + file, "web config " + file + ":2: field burts not found", exitConfig},
		{"--web.config.file=" + file + ".none", "no such file", exitConfig},
		{"--web.systemd-socket", "systemd passed no socket", exitConfig},
		{"--web.external-url=h:9900", `flag --web.external-url: value "h:9900" must be an address`, exitUsage},
	} {
		var stderr bytes.Buffer
		code := run([]string{"-s", t.TempDir(), "--cache.dir=" + t.TempDir(), c.flag}, io.Discard, &stderr)
		if code != c.code || !strings.Contains(stderr.String(), c.want) || strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("%s: exit code %d\n%s", c.flag, code, stderr.String())
		}
	}
}
