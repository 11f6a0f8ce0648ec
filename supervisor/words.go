package supervisor

import (
	"stap-exporter/internal/scrape"
)

// The kinds of an event, in the words of the API, which do not change.
const (
	KindStateChanged   = "state-changed"    // a script went from one state to another
	KindChildEnded     = "child-ended"      // nothing is left of a run
	KindScriptReplaced = "script-replaced"  // the script is another version of its file now
	KindScriptRefused  = "script-refused"   // and must not be started
	KindVersionRefused = "version-refused"  // a new version does not take over, the old one runs on
	KindLoopBegan      = "crash-loop-began" // it ended quickly too often in a row
	KindLoopEnded      = "crash-loop-ended"
	KindActorFailed    = "actor-failed" // a bug in the exporter
)

// EventKinds returns all of them.
func EventKinds() []string {
	return []string{
		KindStateChanged,
		KindChildEnded,
		KindScriptReplaced,
		KindScriptRefused,
		KindVersionRefused,
		KindLoopBegan,
		KindLoopEnded,
		KindActorFailed,
	}
}

// Causes returns the causes of a change of state.
func Causes() (causes []string) {
	for _, c := range scrape.Causes() {
		causes = append(causes, string(c))
	}
	return causes
}

// ExitCauses returns the causes of an end, as the exits metric has them.
func ExitCauses() (causes []string) {
	for c := range scrape.EndCauses {
		causes = append(causes, c.String())
	}
	return causes
}
