package actors

// Cause says why the state of a script changed. Log, events and tests know them
// by these words, which do not change.
type Cause string

// The causes; become takes no others. A test holds Causes against them, another
// (cmd/stap-exporter) sees each in the API and the log.
const (
	CauseSpawned    Cause = "spawned"         // a script's first actor begins
	CauseRestarted  Cause = "actor restarted" // an incarnation after the first begins
	CauseRequest    Cause = "request"         // somebody asks for the script's metrics
	CauseAutostart  Cause = "autostart"       // the script always runs
	CauseReady      Cause = "ready"           // its file is there
	CauseKeepalive  Cause = "keepalive"       // nobody has asked for it in time
	CauseChildEnded Cause = "child ended"     // nothing is left of its run, whoever ended that
	// the file that its metrics are read from was removed under it
	CauseFileGone      Cause = "file gone"
	CauseHoldOffOver   Cause = "hold-off over"  // it may start again
	CauseScriptChanged Cause = "script changed" // there is a new version of the script
	CauseStartAsked    Cause = "start asked"    // an operator's start
	CauseStopAsked     Cause = "stop asked"     // an operator's stop
	CauseRestartAsked  Cause = "restart asked"  // an operator's restart
	CauseRemoved       Cause = "removed"        // the script is no longer in the folder
	CauseShutdown      Cause = "shutdown"       // the exporter ends
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
		CauseHoldOffOver,
		CauseScriptChanged,
		CauseStartAsked,
		CauseStopAsked,
		CauseRestartAsked,
		CauseRemoved,
		CauseShutdown,
	}
}
