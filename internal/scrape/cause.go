package scrape

// Cause is why the state of a script changed. Log, API and tests know causes by
// these words, which do not change.
type Cause string

// The causes; the script actor uses no others. A test in package actors holds
// Causes against them, another (test/e2e) finds each in the API and in
// the log.
const (
	CauseSpawned          Cause = "spawned"           // the script's first actor begins
	CauseRestarted        Cause = "actor restarted"   // an incarnation after the first begins
	CauseRequest          Cause = "request"           // a request for the script's metrics
	CauseAutostart        Cause = "autostart"         // the script always runs
	CauseReady            Cause = "ready"             // its procfs file is there
	CauseKeepalive        Cause = "keepalive"         // no request in the keepalive time
	CauseChildEnded       Cause = "child ended"       // the run is over, whatever ended it
	CauseFileGone         Cause = "file gone"         // the procfs file was removed during the run
	CauseBackoffOver      Cause = "back-off over"     // it may start again
	CauseScriptChanged    Cause = "script changed"    // the script's file has a new version
	CauseStartRequested   Cause = "start requested"   // by an operator
	CauseStopRequested    Cause = "stop requested"    // by an operator
	CauseRestartRequested Cause = "restart requested" // by an operator
	CauseRemoved          Cause = "removed"           // the script's file is no longer in the directory
	CauseShutdown         Cause = "shutdown"          // the exporter ends
)

// Causes returns all of them.
func Causes() []Cause {
	return []Cause{
		CauseSpawned,
		CauseRestarted,
		CauseRequest,
		CauseAutostart,
		CauseReady,
		CauseKeepalive,
		CauseChildEnded,
		CauseFileGone,
		CauseBackoffOver,
		CauseScriptChanged,
		CauseStartRequested,
		CauseStopRequested,
		CauseRestartRequested,
		CauseRemoved,
		CauseShutdown,
	}
}
