package app

// First arguments that make this program something else. Not for people.
const (
	// the launcher of a child process: set up what has to be set up in the
	// child, then exec it
	LaunchArg = "__launch"
	// the guardian, which cleans up after an exporter that was killed; the
	// flags of the log follow
	GuardArg = "__guard"
)
