package telemetry

// The kinds of an Event, in the words of the API, which do not change.
const (
	KindStateChanged   = "state-changed"    // a script went from one state to another
	KindChildEnded     = "child-ended"      // a run is over
	KindScriptReplaced = "script-replaced"  // a new version of the script's file took over
	KindScriptRefused  = "script-refused"   // the version that took over must not be started
	KindVersionRefused = "version-refused"  // a new version does not take over, the old one keeps running
	KindLoopBegan      = "crash-loop-began" // too many consecutive failures
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
