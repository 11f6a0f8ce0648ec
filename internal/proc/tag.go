package proc

import (
	"bytes"
	"strings"
)

// TagVariable is the environment variable with the run tag. Every child of a
// run gets it; its value is the run's work directory, which no other run of any
// exporter on this machine has. Descendants inherit it, also those that leave
// the process group or the session, so that they can be found in
// /proc/PID/environ.
//
// The tag does not find a process with an empty environment (env -i), nor one
// of another user (a set-user-id program shows its environment to root only).
const TagVariable = "STAP_EXPORTER_RUN"

// WithTag returns env with this run tag and no other.
func WithTag(env []string, tag string) []string {
	return append(WithoutTag(env), TagVariable+"="+tag)
}

// WithoutTag returns env without a run tag.
func WithoutTag(env []string) []string {
	kept := make([]string, 0, len(env)+1)
	for _, kv := range env {
		if !strings.HasPrefix(kv, TagVariable+"=") {
			kept = append(kept, kv)
		}
	}
	return kept
}

// tagIn returns the run tag in the text of a /proc/PID/environ, "" when there
// is none.
func tagIn(environ []byte) string {
	name := []byte(TagVariable + "=")
	for kv := range bytes.SplitSeq(environ, []byte{0}) {
		if tag, ok := bytes.CutPrefix(kv, name); ok {
			return string(tag)
		}
	}
	return ""
}
