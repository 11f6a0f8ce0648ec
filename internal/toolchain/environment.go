package toolchain

import (
	"context"
	"os"
	"strings"
	"time"

	"stap-exporter/internal/proc"
)

// Timeout bounds one short command. "staprun -d" takes half a second, "stap
// --version" less.
const Timeout = 10 * time.Second

// Environment returns the environment of a run's processes. It is the
// exporter's own, with untranslated messages, because they are parsed, and
// temporary files in tmp. tree, unless empty, is the build tree that stapbpf
// scripts compile against.
func (t Tools) Environment(tmp, tree string) []string {
	env := environment(os.Environ(), tmp, tree)
	if t.RuntimeDir != "" && os.Getenv("SYSTEMTAP_RUNTIME") == "" {
		// For executable scripts, which get no options: stap(1) documents it as
		// equivalent to -R.
		env = append(env, "SYSTEMTAP_RUNTIME="+t.RuntimeDir)
	}
	return env
}

// environment returns base, changed as Environment says. stap(1) documents
// SYSTEMTAP_RELEASE as equivalent to -r, so executable bpf scripts work without
// headers too. A value that the user has set is kept.
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

// Output runs a short command of SystemTap with untranslated messages, see
// proc.Output.
func Output(ctx context.Context, argv ...string) (string, error) {
	return proc.Output(ctx, environment(os.Environ(), os.TempDir(), ""), argv...)
}
