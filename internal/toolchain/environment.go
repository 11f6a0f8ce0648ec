package toolchain

import (
	"context"
	"os"
	"strings"
	"time"

	"stap-exporter/internal/proc"
)

// environment is what children get: this process's own, with stap's messages
// untranslated (their text is parsed), its temporary files in tmp, and, where
// tree is not empty, that build tree as the kernel's. stap(1) names
// SYSTEMTAP_RELEASE as the same as -r, so bpf wrappers work without headers
// too; a value of the user's own is kept.
func environment(base []string, tmp, tree string) []string {
	env := make([]string, 0, len(base)+3)
	for _, kv := range base {
		switch name, _, _ := strings.Cut(kv, "="); name {
		case "LC_ALL", "LANGUAGE", "TMPDIR":
			continue
		case "SYSTEMTAP_RELEASE":
			tree = ""
		}
		env = append(env, kv)
	}
	env = append(env, "LC_ALL=C.UTF-8", "TMPDIR="+tmp)
	if tree != "" {
		env = append(env, "SYSTEMTAP_RELEASE="+tree)
	}
	return env
}

// Environment returns what children get, see the function environment.
func (t Tools) Environment(tmp, tree string) []string {
	env := environment(os.Environ(), tmp, tree)
	if t.RuntimeDir != "" && os.Getenv("SYSTEMTAP_RUNTIME") == "" {
		// for wrappers, which get no option; stap(1) names it as the same as -R
		env = append(env, "SYSTEMTAP_RUNTIME="+t.RuntimeDir)
	}
	return env
}

// Timeout bounds one short command: staprun -d takes half a second, stap
// --version less.
const Timeout = 10 * time.Second

// Output runs a short command of SystemTap's, see proc.Output.
func Output(ctx context.Context, argv ...string) (string, error) {
	return proc.Output(ctx, environment(os.Environ(), os.TempDir(), ""), argv...)
}
